"""Artifacts of steps by key, each a folder with a typed record, shared by any number of runs."""
