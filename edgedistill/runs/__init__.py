"""A run by its folder: its models asked from Python, and any of its candidates bundled."""
