"""Holds what every room may use: errors, clocks, tasks, waits, back-off and log throttling."""
