"""ExecuTorch without torch: its C++ runtime through ctypes, and what a `.pte` file says of itself."""
