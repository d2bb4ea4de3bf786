"""The work queue, its dead-letter queue, and queues that exist already."""
