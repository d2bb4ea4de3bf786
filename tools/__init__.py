"""What developers run: the demo, the embedded AWS, the benchmark, the simulation."""
