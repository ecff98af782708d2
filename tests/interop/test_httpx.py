"""httpx with HTTP/2 and HTTP/1.1."""

from tests.interop import running

pytestmark = running.needs("httpx", "h2")


def test_httpx_speaks_http2_and_http1(mode: str) -> None:
    assert running.run(mode, "httpx_http2.py") == ["http2", "ReadError", "http1"]
