"""The mutations of bundles, by what they change."""
