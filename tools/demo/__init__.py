"""`make demo`: the whole tier on this machine, and every message accounted for."""
