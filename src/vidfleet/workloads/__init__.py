"""What runs on a video."""
