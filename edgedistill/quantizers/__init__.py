"""Quantizers, one precision a file."""
