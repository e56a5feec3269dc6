"""Shipped recipes, each runnable by its name: `edgedistill run NAME`."""
