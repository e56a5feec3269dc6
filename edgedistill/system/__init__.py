"""This process and this machine: signals, children, files, memory of former runs."""
