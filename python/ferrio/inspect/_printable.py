"""Text for terminals and pipes: no colours, no cursor movements, nothing of the program's that would cause some."""

from collections.abc import Iterator


def count(number: int, what: str) -> str:
    """A number of things."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def printable(text: str) -> str:
    """Text of the program without characters that a terminal would act on."""
    return "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in text)


def table(rows: list[tuple[str, ...]]) -> Iterator[str]:
    """Rows in columns; the first one is the heading."""
    widths = [min(max(len(row[column]) for row in rows), 60) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
