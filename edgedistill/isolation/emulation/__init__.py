"""Runs another processor's build of a runtime in QEMU user-mode emulation, for its answers and instruction counts,
never for timing."""
