"""A worker of gunicorn's that runs uvicorn on ferrio's loop."""

from uvicorn.workers import UvicornWorker


class FerrioWorker(UvicornWorker):
    CONFIG_KWARGS = {"loop": "ferrio:new_event_loop", "http": "auto"}  # noqa: RUF012 - as in the class above
