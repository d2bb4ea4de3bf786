"""Measures the daemon beside other SQS clients: `python -m bench`, docs/performance.md."""
