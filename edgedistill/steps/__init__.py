"""The code of the steps, one a file: `run(settings, inputs, folder, context)`, as its kind in `kinds` declares."""
