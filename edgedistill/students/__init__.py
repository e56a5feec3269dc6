"""Student initialisations, one a file."""
