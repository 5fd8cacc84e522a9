"""Listeners: observe an engine through its notifiers; the engine does not depend on them."""
