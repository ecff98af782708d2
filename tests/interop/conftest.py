"""Each test that takes `mode` runs once for each way to bring a program onto a loop; stock asyncio is the reference."""

import pytest

from tests.interop.running import MODES


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    mode: str = request.param
    return mode
