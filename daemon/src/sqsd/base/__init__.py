"""Shared by all rooms: errors, clocks, tasks, and other small parts without a subject."""
