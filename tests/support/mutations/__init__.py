"""Mutations: deliberate defects in a copy of the library; tests must see them (``scripts/mutate``)."""
