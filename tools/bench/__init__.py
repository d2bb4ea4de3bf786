"""Measures the daemon beside other SQS clients: `python -m tools.bench`, docs/performance.md."""
