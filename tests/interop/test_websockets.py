"""The library `websockets`, server and client."""

import pytest

from tests.interop import running

pytestmark = running.needs("websockets")

SAID = """messages
4000 a reason
None no close frame received or sent
1011 keepalive ping timeout
1000
1001"""


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_messages_fragments_pings_and_endings(mode: str, transport: str) -> None:
    assert running.run(mode, "websockets_echo.py", transport) == SAID.splitlines()
