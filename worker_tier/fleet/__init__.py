"""The instances: Auto Scaling group, machine image, permissions, user data, updates."""
