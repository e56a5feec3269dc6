"""Student initialisations, one per file."""
