"""Postmortems: what an incident taught, and the actions that come out of it."""
