"""Coordination of processes on any key-value store: leases and their heartbeat, membership, change feeds."""
