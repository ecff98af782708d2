"""The line protocol of examples/rust-extension: client and server in Rust, asyncio code around and between them."""

import asyncio

import pytest
import rust_extension


async def upper(line):
    await asyncio.sleep(0)
    return line.upper()


async def others():
    """Waits for the server's tasks, which end when their client does."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*tasks, return_exceptions=True)


def test_client_and_server_talk(loop):
    async def main():
        server = rust_extension.serve(upper)
        client = await rust_extension.connect("localhost", server.port)
        answers = [await client.request(line) for line in ("one", "zwölf", "", "x" * 100_000)]
        server.close()
        del client
        await others()
        return answers

    assert loop.run_until_complete(main()) == ["ONE", "ZWÖLF", "", "X" * 100_000]


def test_many_clients_talk_at_the_same_time(loop):
    async def talk(port, number):
        client = await rust_extension.connect("127.0.0.1", port)
        return [await client.request(f"{number} {turn}") for turn in range(10)]

    async def main():
        server = rust_extension.serve(upper)
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            tasks = [group.create_task(talk(server.port, number)) for number in range(20)]
        server.close()
        results = [task.result() for task in tasks]
        tasks.clear()
        await others()
        return results

    assert loop.run_until_complete(main()) == [[f"{number} {turn}" for turn in range(10)] for number in range(20)]


def test_python_streams_talk_to_the_rust_server(loop):
    async def main():
        server = rust_extension.serve(upper)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"a\nb\nc")
        answers = [await reader.readline(), await reader.readline()]
        writer.write(b"d\n")
        answers.append(await reader.readline())
        writer.close()
        await writer.wait_closed()
        server.close()
        await others()
        return answers

    assert loop.run_until_complete(main()) == [b"A\n", b"B\n", b"CD\n"]


def test_rust_client_hears_that_the_server_is_gone(loop):
    async def answer(reader, writer):
        await reader.readline()
        writer.close()

    async def main():
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        client = await rust_extension.connect(*server.sockets[0].getsockname())
        with pytest.raises(ConnectionError, match="the server has closed the connection"):
            await client.request("anyone?")
        server.close()
        await server.wait_closed()
        with pytest.raises(ConnectionRefusedError):
            await rust_extension.connect("127.0.0.1", server_port)

    async def free_port():
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        return port

    server_port = loop.run_until_complete(free_port())
    loop.run_until_complete(main())


def test_error_of_the_handler_ends_its_connection_alone(loop):
    async def handler(line):
        if line == "fail":
            raise KeyError(line)
        return line

    async def main():
        server = rust_extension.serve(handler)
        failing = await rust_extension.connect("127.0.0.1", server.port)
        other = await rust_extension.connect("127.0.0.1", server.port)
        with pytest.raises(ConnectionError):
            await failing.request("fail")
        answer = await other.request("go on")
        server.close()
        del failing, other
        await others()
        return answer

    contexts = []
    loop.set_exception_handler(lambda _, context: contexts.append(context["message"]))
    assert loop.run_until_complete(main()) == "go on"
    loop.run_until_complete(asyncio.sleep(0))
    assert contexts == ["Task exception was never retrieved"]


def test_requests_that_time_out_are_dropped(loop):
    async def never(line):
        await asyncio.get_running_loop().create_future()

    async def main():
        server = rust_extension.serve(never)
        client = await rust_extension.connect("127.0.0.1", server.port)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.request("anyone?"), 0.01)
        server.close()

    loop.run_until_complete(main())
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
