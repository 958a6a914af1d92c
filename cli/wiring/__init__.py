"""Writes what follows from the declarations into template.yaml and the docs. `make wiring` runs it."""
