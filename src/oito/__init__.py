"""oito: eight systems, one catalog, one loop."""
