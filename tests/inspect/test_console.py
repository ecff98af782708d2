"""`ferrio console` without a browser: who is let in, and what is answered."""

import json
import re
import socket
from pathlib import Path

import pytest

from tests.support.consoles import Console, console
from tests.support.inspected import inspected

pytestmark = pytest.mark.timeout(120)

WAITING = """
async def wait(lock):
    async with lock:
        await asyncio.Event().wait()

async def main():
    lock = asyncio.Lock()
    tasks = [asyncio.create_task(wait(lock), name=f"waiter {number}") for number in range(300)]
    await asyncio.sleep(0)
    print("ready")
    await asyncio.gather(*tasks)
"""


@pytest.fixture
def served(tmp_path):
    """A console whose cookie is known. It takes a second, so cases share it."""
    with inspected(tmp_path, WAITING) as program, console(program) as found:
        found.enter()
        yield found


def test_the_page_and_its_parts_are_served_with_strict_headers(served: Console):
    page = Path("python/ferrio/inspect/_console/page")
    names = sorted(each.name for each in page.iterdir())
    assert "index.html" in names
    for path in ("/", *(f"/{name}" for name in names if name != "index.html")):
        status, headers, body = served.request("GET", path)
        assert status == 200
        assert body == (page / (path[1:] or "index.html")).read_bytes()
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Access-Control-Allow-Origin" not in headers


def test_the_page_names_nothing_outside_and_has_nothing_inline():
    for each in Path("python/ferrio/inspect/_console/page").iterdir():
        text = each.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|//[a-z]+\.|@import|url\((?!#)", re.sub(r"url\(#head\$", "", text)), each
        if each.suffix == ".html":
            assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=", text)
        assert len(text.splitlines()) <= 400


def test_nothing_of_the_process_is_told_without_the_cookie(served: Console):
    for path in ("/data/overview", "/data/rows?of=tasks", "/data/task?id=1", "/data/graph", "/data/blocks", "/events"):
        for cookie in (
            "",
            "ferrio_console=x",
            f"ferrio_console_{served.port}=x",
            f"ferrio_console_{served.port}=é",
            "=;",
        ):
            status, headers, body = served.request("GET", path, {"Cookie": cookie.encode().decode("latin-1")})
            assert status == 403
            assert b"waiter" not in body
            assert "Set-Cookie" not in headers


def test_the_token_is_traded_for_a_cookie_that_scripts_and_other_sites_cannot_use(served: Console):
    origin = {"Origin": f"http://{served.host}"}
    for wrong in ("", "x", served.token[:-1], served.token + "x"):
        status, headers, _ = served.request("POST", "/session", origin, wrong)
        assert (status, headers["Set-Cookie"]) == (403, None)
    status, headers, _ = served.request("POST", "/session", origin, served.token)
    assert status == 204
    assert headers["Set-Cookie"].endswith("; HttpOnly; SameSite=Strict; Path=/")
    assert served.token not in headers["Set-Cookie"]


def test_a_token_from_another_origin_is_refused(served: Console):
    for origin in [None, "null", "http://evil.example", "https://127.0.0.1:1", "http://127.0.0.1.evil.example"]:
        headers = {} if origin is None else {"Origin": origin}
        assert served.request("POST", "/session", headers, served.token)[0] == 403


def test_a_request_that_another_site_makes_is_refused_even_with_the_cookie(served: Console):
    assert served.request("GET", "/data/overview", {"Origin": "http://evil.example"})[0] == 403
    for site in ("cross-site", "same-site"):
        assert served.request("GET", "/data/overview", {"Sec-Fetch-Site": site})[0] == 403
        assert served.request("GET", "/main.js", {"Sec-Fetch-Site": site})[0] == 403
    assert served.request("GET", "/data/overview", {"Sec-Fetch-Site": "same-origin"})[0] == 200
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert served.request("GET", "/", link)[0] == 200
    assert served.request("GET", "/data/overview", link)[0] == 403


def test_a_name_that_another_site_could_have_is_refused(served: Console):
    for host in [
        "evil.example",
        "localhost.evil.example",
        "",
        "127.0.0.1.evil.example",
        "[::1",
        "localhost:x",
        "10.0.0.1",
    ]:
        assert served.request("GET", "/", {"Host": host})[0] == 403


def test_the_names_of_this_machine_are_known_on_every_port_that_is_forwarded_here(served: Console):
    for host in ["localhost", "127.0.0.1:9", "[::1]:8000", "LOCALHOST:80"]:
        assert served.request("GET", "/", {"Host": host})[0] == 200


def test_two_hosts_or_none_are_refused(served: Console):
    assert b" 403 " in served.raw(b"GET / HTTP/1.1\r\n\r\n").splitlines()[0]
    two = f"GET / HTTP/1.1\r\nHost: {served.host}\r\nHost: evil.example\r\n\r\n".encode()
    assert b" 403 " in served.raw(two).splitlines()[0]


def test_other_methods_are_refused(served: Console):
    for method in ["PUT", "DELETE", "OPTIONS", "HEAD", "TRACE", "PATCH", "CONNECT"]:
        status, headers, body = served.request(method, "/")
        assert status == 501
        assert "Content-Security-Policy" in headers
        assert b"ferrio" not in body


def test_only_known_names_are_there(served: Console):
    for path in [
        "/../__init__.py",
        "/..%2f..%2f_server.py",
        "//etc/passwd",
        "/page/../main.js",
        "/main.js/",
        "/index.html",
        "/data/",
        "/data/__class__",
        "/data/../main.js",
        "/%00",
        "/data/rows/x",
    ]:
        assert served.request("GET", path)[0] == 404


def test_rubbish_is_answered_with_an_error_or_nothing(served: Console):
    for request_, status in [
        (b"\x00\xff\r\n\r\n", None),
        (b"GET\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\nno colon at all\r\n\r\n", None),
        (b"GET /" + b"x" * 70000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 70000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
    ]:
        answer = served.raw(request_)
        if status is not None:
            assert f" {status} ".encode() in answer[:20]
        assert b"Traceback" not in answer
        assert served.data("overview")["loops"]


def test_a_body_that_no_token_has_is_not_read(served: Console):
    for length in ["99999999999999999999", "1025", "-1", "x", "\xb2"]:
        request = f"POST /session HTTP/1.1\r\nHost: {served.host}\r\nOrigin: http://{served.host}\r\n"
        answer = served.raw(f"{request}Content-Length: {length}\r\n\r\n".encode("latin-1"))
        assert answer[:13].endswith((b" 413", b" 411", b" 413 ", b" 411 "))


def test_questions_that_make_no_sense_are_refused(served: Console):
    for query in [
        "of=nothing",
        "offset=-1",
        "offset=x",
        "limit=99999999999999",
        "offset=%C2%B2",
        "&".join(["a=b"] * 30),
    ]:
        status, _, body = served.request("GET", f"/data/rows?{query}")
        assert status == 400
        assert set(json.loads(body)) == {"error"}


def test_a_slice_of_the_tasks_is_sorted_and_filtered(served: Console):
    found = served.data("rows?of=tasks&sort=name&limit=3&offset=1&filter=LOCK+waiter&backwards=1")
    assert (found["total"], found["all"]) == (299, 301)
    assert [row["name"] for row in found["rows"]] == ["waiter 98", "waiter 97", "waiter 96"]
    assert served.data("rows?of=tasks&state=running")["total"] == 0
    assert len(served.data("rows?of=tasks&limit=100000")["rows"]) == 301
    assert served.data("rows?of=tasks&filter=nothing+like+it")["total"] == 0


def test_a_lock_is_told_with_its_holder_and_how_many_wait(served: Console):
    kinds = {row["kind"]: row for row in served.data("rows?of=primitives")["rows"]}
    assert kinds["lock"]["waiting"] == 299
    assert kinds["lock"]["holders"] == "waiter 0"


def test_a_task_is_told_with_stack_chain_creator_and_history(served: Console):
    row = next(each for each in served.data("rows?limit=400")["rows"] if each["name"] == "waiter 7")
    task = served.data(f"task?id={row['id']}")
    assert task["name"] == "waiter 7"
    assert task["stack"][0]["function"] == "wait"
    assert [link["task"]["name"] for link in task["chain"]] == ["waiter 7", "waiter 0"]
    assert task["created"]["by"]["coroutine"] == "main"
    assert [each["name"] for each in task["awaited_by"]] == ["Task-1"]
    assert task["changes"][0]["state"] == "waiting"
    assert served.data("task?id=0x1")["gone"]


def test_the_graph_is_bounded_and_says_what_it_leaves_out(served: Console):
    graph = served.data("graph")
    titles = {node["title"] for node in graph["nodes"]}
    assert {"Lock", "waiter 0", "Task-1", "295 more tasks"} <= titles
    assert len(graph["nodes"]) < 30
    names = {node["id"] for node in graph["nodes"]}
    assert all(edge["from"] in names and edge["to"] in names for edge in graph["edges"])


def test_two_pages_are_told_of_every_look(served: Console):
    with served.events() as first, served.events() as second:
        versions = [(next(first)["version"], next(second)["version"]) for _ in range(3)]
    for place in (0, 1):
        assert sorted({each[place] for each in versions}) == [each[place] for each in versions]


def test_too_many_pages_are_refused_and_room_comes_back(served: Console):
    opened: list[socket.socket] = []
    try:
        while True:
            connection = served.connected()
            opened.append(connection)
            connection.sendall(served.stream_request())
            status = connection.recv(13)[9:12]
            if status == b"503":
                break
            assert status == b"200"
        assert len(opened) == 17
    finally:
        for connection in opened:
            connection.close()
    # The console finds out with the next look that they are gone.
    while served.status_of_stream() != 200:
        pass


def test_a_client_that_sends_slowly_or_nothing_is_cut_off_and_keeps_nobody_out(served: Console):
    slow = [served.connected() for _ in range(20)]
    for connection in slow:
        connection.sendall(b"GET / HTT")
    assert served.data("overview")["loops"]
    for connection in slow:
        # It is closed from the other side, whether with an answer or without.
        while connection.recv(4096):
            pass
        connection.close()
    assert served.data("overview")["loops"]


def test_the_times_of_tasks_are_shown(served: Console):
    found = served.data("rows?of=tasks&limit=400")
    assert {"polls", "total", "longest"} <= {column["name"] for column in found["columns"]}
    row = next(each for each in found["rows"] if each["name"] == "waiter 7")
    assert row["polls"] == 1
    assert 0 < row["longest"] == row["total"]
    times = served.data(f"task?id={row['id']}")["times"]
    assert (times["polls"], times["longest"]) == (1, row["longest"])
    assert times["scheduled"] > 0
    assert times["wakeups"] == 1
