"""A bundle: one candidate as a folder that a person can take away and that tests itself on any machine."""
