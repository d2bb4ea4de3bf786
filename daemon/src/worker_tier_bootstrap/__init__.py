"""Turns an instance into a worker: packages, application, units, and when they are ready.

User data fetches this package with the daemon and runs it; it needs nothing but the standard
library, and no network but what the application's own build wants.
"""
