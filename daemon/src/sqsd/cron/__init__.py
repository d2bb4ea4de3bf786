"""Periodic tasks: cron.yaml, schedules, the leader's lease, and enqueuing each occurrence once."""
