"""Children run beside the tests here, so that descriptors come and go: each child counts its own."""

import pytest


@pytest.fixture(autouse=True)
def no_descriptor_stays_open():
    """In the place of the check for all other tests."""
