"""Builds the distributions, checks and tries them: `python -m tools.release`, CONTRIBUTING.md."""
