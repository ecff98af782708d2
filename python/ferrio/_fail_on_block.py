"""A run or a test that fails because a callback has blocked a loop: `--fail-on-block`, for programs and for pytest.

Apart from `ferrio.inspect`, which is imported only if this is asked for.
"""

# The exit status of a program that would have ended well.
STATUS = 3

OPTION = "--fail-on-block"

# How many blocks are named.
_MOST_NAMED = 20


def begin(limit: float) -> None:
    """Watches the loops from now on."""
    from ferrio.inspect import _serve

    _serve.watch(limit)


def count() -> int:
    """How many blocks have ended so far."""
    from ferrio.inspect import _watching

    return _watching.totals()[0]


def text(since: int) -> str | None:
    """What has blocked a loop since there were so many blocks, a line each; None if nothing has."""
    from ferrio.inspect import _watching
    from ferrio.inspect._blocked import one_line

    number = count() - since
    if number <= 0:
        return None
    ended = [report for report in _watching.blocks() if report["ended"]][-min(number, _MOST_NAMED) :]
    times = "once" if number == 1 else f"{number} times"
    lines = [f"a loop was blocked {times}:", *(f"    {one_line(report)}" for report in ended)]
    if number > len(ended):
        lines.append(f"    and {number - len(ended)} times before")
    return "\n".join(lines)
