"""What happens to the machine: Spot notices, the termination hook, systemd."""
