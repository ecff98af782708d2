"""FastAPI: an endpoint that is a plain function, which runs in a worker thread."""

from fastapi import FastAPI

from ..serving import serve as serve_application

application = FastAPI()


@application.get("/")
def root() -> dict[str, object]:
    return {"message": "Hello World", "number": 1}


async def serve() -> None:
    await serve_application(application)
