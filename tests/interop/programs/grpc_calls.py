"""grpc.aio: unary calls, streams both ways, a deadline, a cancellation, an error with a status."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from tests.interop import clean


async def echo(request: bytes, context: Any) -> bytes:
    if request == b"refused":
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "as asked")
    if request == b"slow":
        await asyncio.sleep(10)
    return request


async def count(request: bytes, _: Any) -> AsyncIterator[bytes]:
    for number in range(int(request)):
        yield b"%d" % number


async def both(requests: AsyncIterator[bytes], _: Any) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request.upper()


HANDLERS = {
    "echo": grpc.unary_unary_rpc_method_handler(echo),
    "count": grpc.unary_stream_rpc_method_handler(count),
    "both": grpc.stream_stream_rpc_method_handler(both),
}


async def main() -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Service", HANDLERS),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary("/test.Service/echo")
        assert await asyncio.gather(*(call(b"%d" % n) for n in range(100))) == [b"%d" % n for n in range(100)]
        assert await call(b"x" * 1_000_000) == b"x" * 1_000_000
        print("unary")
        assert [int(number) async for number in channel.unary_stream("/test.Service/count")(b"500")] == [*range(500)]
        stream = channel.stream_stream("/test.Service/both")()
        for number in range(50):
            await stream.write(b"a%d" % number)
            assert await stream.read() == b"A%d" % number
        await stream.done_writing()
        assert await stream.read() == grpc.aio.EOF
        print("streams")
        for request, keywords in ((b"refused", {}), (b"slow", {"timeout": 0.05})):
            try:
                await call(request, **keywords)
            except grpc.aio.AioRpcError as error:
                print(error.code().name)
        waiting = asyncio.ensure_future(call(b"slow"))
        await asyncio.sleep(0.05)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        print("cancelled", waiting.cancelled())
    await server.stop(None)


# Its tasks are given the time to end: the server's for a call that was given up may outlast `stop`.
asyncio.run(clean.checked(main))
print("clean")  # its own poller thread stays for the life of the process, on every loop
