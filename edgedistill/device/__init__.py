"""Code that runs on a device: graphs, task drivers, answers, timing. Only numpy besides the runtime itself."""
