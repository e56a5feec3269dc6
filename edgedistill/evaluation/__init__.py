"""Statistics, choice and results, including older result formats."""
