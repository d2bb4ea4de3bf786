"""What an operator does by hand: dead letters and the lease, from a terminal."""
