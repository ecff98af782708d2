"""Faults of released libraries: `ferrio.testing` finds them in the releases that have them, not in those that hold."""
