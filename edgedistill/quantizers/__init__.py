"""Quantizers of the target `onnx`, one precision a file."""
