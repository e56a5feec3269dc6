"""Exporters, one target a file; edgedistill finds them by the entry points of `edgedistill.exporters`."""
