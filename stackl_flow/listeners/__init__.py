"""Listeners: observe an engine through its notifiers; the engine does not know them."""
