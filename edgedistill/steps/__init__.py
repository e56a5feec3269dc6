"""The code of the steps, one per file: `run(settings, inputs, folder, context)`, as declared by its kind in `kinds`."""
