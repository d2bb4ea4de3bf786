"""Clients that others would write or install, measured beside the daemon."""
