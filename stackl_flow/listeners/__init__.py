"""Listeners: what can be hung onto an engine to watch it. Features listen; the engine does not know them."""
