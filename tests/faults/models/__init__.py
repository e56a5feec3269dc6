"""The mutations of model folders, by what they change."""
