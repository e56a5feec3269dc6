"""Losses, one a file: each a pure function, its spec, and the signals it needs."""
