"""Measuring a device file: latency, accuracy, memory and size, in a child process of its own."""
