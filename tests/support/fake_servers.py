"""Servers that clients of others talk to on the simulated network: Redis, by fakeredis, and as much of PostgreSQL as
asyncpg needs to connect, to ask for one number and to give the connection back to its pool.
"""

import asyncio
import struct


def redis(server):
    """A handler of connections for `asyncio.start_server` that answers as Redis, from a `fakeredis.FakeServer`."""
    from fakeredis import FakeRedisConnection
    from fakeredis._clients._tcp_server import encode_reply

    async def answer(reader, writer):
        connection = FakeRedisConnection(server=server, protocol=2)
        try:
            while data := await reader.read(1 << 16):
                fake = connection.get_socket()
                fake.sendall(data)
                while connection.can_read():
                    try:
                        reply = connection.read_response()
                    except Exception as error:
                        reply = error
                    writer.write(encode_reply(reply, fake._client_info.protocol_version))
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    return answer


INT4 = 23

# What a connection begins with that cancels another one's query.
CANCEL = 80877102


def message(kind, *parts):
    """A message of PostgreSQL's protocol."""
    body = b"".join(parts)
    return kind + struct.pack("!i", len(body) + 4) + body


def text(string):
    return string.encode() + b"\0"


def row_description(name):
    return message(b"T", struct.pack("!h", 1), text(name), struct.pack("!ihihih", 0, 0, INT4, 4, -1, 1))


async def postgres(reader, writer):
    """Answers `SELECT <number>`, with or without a parameter of that type, and any other statement with nothing."""
    ready = message(b"Z", b"I")
    try:
        (size,) = struct.unpack("!i", await reader.readexactly(4))
        (request,) = struct.unpack("!i", (await reader.readexactly(size - 4))[:4])
        if request == CANCEL:
            return
        writer.write(message(b"R", struct.pack("!i", 0)))
        for name, value in (("server_version", "16.4"), ("client_encoding", "UTF8"), ("integer_datetimes", "on")):
            writer.write(message(b"S", text(name), text(value)))
        writer.write(message(b"K", struct.pack("!ii", 1, 2)) + ready)
        queries: dict[bytes, bytes] = {}
        bound = b""
        while True:
            kind = await reader.readexactly(1)
            (size,) = struct.unpack("!i", await reader.readexactly(4))
            body = await reader.readexactly(size - 4)
            if kind == b"X":
                return
            if kind == b"Q":
                writer.write(message(b"C", text("RESET")) + ready)
            elif kind == b"P":
                statement, query = body.split(b"\0")[:2]
                queries[statement] = query
                writer.write(message(b"1"))
            elif kind == b"D":
                query = queries[body[1:-1]]
                writer.write(message(b"t", struct.pack("!h", 0)))
                writer.write(row_description("number") if query.startswith(b"SELECT") else message(b"n"))
            elif kind == b"B":
                bound = queries[body.split(b"\0")[1]]
                writer.write(message(b"2"))
            elif kind == b"E":
                if bound.startswith(b"SELECT"):
                    number = struct.pack("!i", int(bound.split()[1]))
                    writer.write(message(b"D", struct.pack("!hi", 1, len(number)), number))
                writer.write(message(b"C", text("SELECT 1")))
            elif kind == b"C":
                writer.write(message(b"3"))
            elif kind == b"S":
                writer.write(ready)
            await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()
