"""Other children run at the same time and open and close descriptors, so each child counts only its own."""

import pytest


@pytest.fixture(autouse=True)
def no_descriptor_stays_open():
    """In the place of the check for all other tests."""


@pytest.fixture(autouse=True)
def no_child_stays_behind() -> None:
    """Takes the place of the check for all tests: the modules run side by side, so others' processes are there."""
