"""Tasks, one a file: what a batch, a prediction, a metric and fidelity are for it."""
