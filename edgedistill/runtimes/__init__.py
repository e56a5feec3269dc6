"""Runtimes, one per file: `open(file, threads)` returns a session whose `run(inputs)` returns the outputs."""
