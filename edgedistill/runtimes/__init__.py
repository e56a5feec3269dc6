"""Runtimes, one a file: `open(file, threads)` gives a session whose `run(inputs)` gives the outputs."""
