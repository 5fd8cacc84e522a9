"""Jobboards: work is posted here, and claimed by whoever will do it, on any machine."""
