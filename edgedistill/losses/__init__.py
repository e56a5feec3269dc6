"""Losses, one per file: each a pure function, its spec, and the signals it needs."""
