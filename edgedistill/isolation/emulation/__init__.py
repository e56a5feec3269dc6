"""Another processor's build of a runtime, run by QEMU's user-mode emulation: what it answers and how many instructions
it takes, never how long."""
