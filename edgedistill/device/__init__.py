"""What runs on a device: graphs, a task's driver, answers, timing. Numpy only, beside the runtime itself."""
