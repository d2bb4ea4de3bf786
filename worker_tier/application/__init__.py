"""What runs on the instances: the user's application, and the daemon's bundle as an asset."""
