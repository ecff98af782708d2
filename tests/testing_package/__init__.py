"""Tests of `ferrio.testing`."""
