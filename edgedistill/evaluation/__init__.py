"""What was found out about models: results and how older ones are read."""
