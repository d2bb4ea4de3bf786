"""What explains the daemon: log lines, metrics, traces, the status page."""
