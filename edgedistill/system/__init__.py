"""Process and machine: signals, child processes, files, caches."""
