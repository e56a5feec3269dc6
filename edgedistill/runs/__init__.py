"""Finished runs: use their models from Python, and bundle any candidate."""
