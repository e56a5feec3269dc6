"""A bundle: one candidate as a self-testing folder to copy to any machine."""
