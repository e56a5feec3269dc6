"""The mutations of onnx files, by what they change."""
