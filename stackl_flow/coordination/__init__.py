"""Leases, heartbeats, membership and change feeds on any key-value store."""
