"""Follows the instance: Spot and lifecycle notices, the termination hook, systemd."""
