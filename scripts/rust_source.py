"""Parses a Rust file just well enough for the structure check: which characters are code and which are comments.

`RustSource.code` keeps every character at its offset and blanks comments, strings and character literals, so a search
never matches text. The meaning of the code is left to the compiler and to clippy.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_SKIPPED = re.compile(
    r"""
      (?P<line>//[^\n]*)
    | (?P<block>/\*)
    | (?P<raw>\b(?:b|c)?r(?P<hashes>\#*)"(?s:.*?)"(?P=hashes))
    | (?P<string>\b(?:b|c)?"(?:[^"\\]|\\(?s:.))*"|"(?:[^"\\]|\\(?s:.))*")
    | (?P<character>\bb?'(?:[^'\\\n]|\\[^\n][^'\n]*)'|'(?:[^'\\\n]|\\[^\n][^'\n]*)')
    """,
    re.VERBOSE,
)
_BLOCK_EDGE = re.compile(r"/\*|\*/")
_FUNCTION = re.compile(r"\bfn\s+(\w+)")


@dataclass(frozen=True)
class Function:
    """A function with a body."""

    name: str
    line: int
    code_lines: int


class RustSource:
    """One file: its text, its code without comments and literals, and its comments by line."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.comments: dict[int, str] = {}
        self.code = self._blank_what_is_not_code()
        self._kept = [bool(line.strip()) for line in self.code.split("\n")]

    def line_of(self, offset: int) -> int:
        """The number, from 1, of the line that contains this offset."""
        return self.text.count("\n", 0, offset) + 1

    def code_lines(self, first: int = 1, last: int | None = None) -> int:
        """How many lines from `first` to `last` contain code."""
        return sum(self._kept[first - 1 : last])

    def functions(self) -> Iterator[Function]:
        """Every function that has a body, nested ones too."""
        for match in _FUNCTION.finditer(self.code):
            opening = self._body_start(match.end())
            if opening is not None:
                first, last = self.line_of(match.start()), self.line_of(self._closing(opening))
                yield Function(match[1], first, self.code_lines(first, last))

    def blocks(self, head: re.Pattern[str]) -> Iterator[tuple[int, int]]:
        """Where the blocks begin and end that follow what matches `head`."""
        for match in head.finditer(self.code):
            opening = self._body_start(match.end())
            if opening is not None:
                yield opening, self._closing(opening)

    def _body_start(self, offset: int) -> int | None:
        """Where the body opens. A declaration ends with `;`; the `;` in `[u8; 4]` does not end one."""
        depth = 0
        for position in range(offset, len(self.code)):
            character = self.code[position]
            if character in "([":
                depth += 1
            elif character in ")]":
                depth -= 1
            elif depth == 0 and character in "{;":
                return position if character == "{" else None
        return None

    def _closing(self, opening: int) -> int:
        depth = 0
        for position in range(opening, len(self.code)):
            if self.code[position] == "{":
                depth += 1
            elif self.code[position] == "}":
                depth -= 1
                if depth == 0:
                    return position
        return len(self.code) - 1

    def _blank_what_is_not_code(self) -> str:
        pieces, position = [], 0
        while match := _SKIPPED.search(self.text, position):
            end = self._block_end(match.end()) if match["block"] else match.end()
            if match["line"] or match["block"]:
                self._note_comment(match.start(), end)
            pieces.append(self.text[position : match.start()])
            # A literal stays visible as code; a comment does not.
            filler = " " if match["line"] or match["block"] else "_"
            pieces.append(re.sub(r"[^\n]", filler, self.text[match.start() : end]))
            position = end
        return "".join(pieces) + self.text[position:]

    def _block_end(self, position: int) -> int:
        depth = 1
        while depth and (edge := _BLOCK_EDGE.search(self.text, position)):
            depth += 1 if edge[0] == "/*" else -1
            position = edge.end()
        return position if depth == 0 else len(self.text)

    def _note_comment(self, start: int, end: int) -> None:
        for line, text in enumerate(self.text[start:end].split("\n"), self.line_of(start)):
            self.comments[line] = self.comments.get(line, "") + text
