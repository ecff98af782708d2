"""uvicorn with httptools and a bare ASGI application."""

from typing import Any

from ..serving import serve as serve_application


async def application(scope: dict[str, Any], _: Any, send: Any) -> None:
    assert scope["type"] == "http"
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"12")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"Hello, world"})


async def serve() -> None:
    await serve_application(application)
