"""What people hand to the constructs, as values: each checks itself."""
