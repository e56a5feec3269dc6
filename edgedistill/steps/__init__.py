"""Steps, one a file: `Settings`, `VERSION` and `run(settings, inputs, folder, context)`."""
