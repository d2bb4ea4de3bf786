"""Commands for operators: dead letters, a message, the lease, from a terminal."""
