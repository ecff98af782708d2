"""FastAPI: an endpoint that is a coroutine function."""

from fastapi import FastAPI

from ..serving import serve as serve_application

application = FastAPI()


@application.get("/")
async def root() -> dict[str, object]:
    return {"message": "Hello World", "number": 1}


async def serve() -> None:
    await serve_application(application)
