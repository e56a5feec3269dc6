"""Seeded fault injection: inputs are damaged by small named mutations, and every answer is judged by an oracle.

`python -m tests.faults` runs all of it and prints a table; a case that fails prints how to run it alone.
"""
