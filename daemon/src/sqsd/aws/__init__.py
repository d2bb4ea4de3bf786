"""Calls AWS: the JSON protocol, its signatures and credentials, and SQS."""
