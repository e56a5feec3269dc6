"""Artifacts by key, shared by any number of runs and processes; and what a run folder knows of them."""
