"""Tasks, one per file: their data, models, metrics and fidelity."""
