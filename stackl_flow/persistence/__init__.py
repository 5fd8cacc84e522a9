"""Stores flows: logbooks, flow details and atom details, with their transitions, in a backend."""
