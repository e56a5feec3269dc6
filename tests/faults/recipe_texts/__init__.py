"""The mutations of recipes, by what they change."""
