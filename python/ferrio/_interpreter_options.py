"""Options that are the interpreter's, given to `python -m ferrio`: it says where they belong.

`-X`, `-O`, `-W`, `-i` and their like work only if the interpreter reads them, which it does before `-m ferrio`.
"""

import shlex

FLAGS = frozenset("bBdEiIOPqRsSuv")
WITH_A_VALUE = frozenset("WX")


def command_with_options_in_front(own: list[str], arguments: list[str]) -> str | None:
    """The command line that does what `own` options and then `arguments` ask for; None if they need no other one."""
    moved: list[str] = []
    rest = arguments
    while rest and (taken := interpreter_option(rest)):
        moved += rest[:taken]
        rest = rest[taken:]
    return shlex.join(["python", *moved, "-m", "ferrio", *own, *rest]) if moved else None


def interpreter_option(arguments: list[str]) -> int:
    """How many of the arguments are one option of the interpreter, with its value; 0 if the first is not one."""
    option = arguments[0]
    if len(option) < 2 or option[0] != "-":
        return 0
    for position, letter in enumerate(option[1:], 2):
        if letter in WITH_A_VALUE:
            return 1 if option[position:] else min(2, len(arguments))
        if letter not in FLAGS:
            return 0
    return 1
