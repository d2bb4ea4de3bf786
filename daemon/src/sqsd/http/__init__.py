"""Posts messages to the application: a small HTTP/1.1 client for one host."""
