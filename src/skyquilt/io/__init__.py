"""The world: formats, header dialects, session folders, products."""
