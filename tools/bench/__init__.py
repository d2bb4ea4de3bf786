"""`python -m tools.bench` measures the daemon beside others; see docs/explain/performance.md."""
