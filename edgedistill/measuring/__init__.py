"""Measures an exported file in a child process: latency, accuracy, memory and size."""
