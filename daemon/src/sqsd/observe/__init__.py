"""Shows what the daemon does: log lines, metrics, traces and the status page."""
