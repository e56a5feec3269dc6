"""Quantizers of the target `onnx`, one precision per file."""
