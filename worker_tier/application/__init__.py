"""Describes what instances run: the user's application, and the daemon's bundle as an asset."""
