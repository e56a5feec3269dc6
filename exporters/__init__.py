"""Exporters, one target per file, found through the entry points `edgedistill.exporters`."""
