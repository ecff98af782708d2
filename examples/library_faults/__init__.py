"""Faults of released libraries, each found by a test that a user of the library could have written."""
