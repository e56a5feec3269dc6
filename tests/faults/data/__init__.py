"""The mutations of data files, by what they change."""
