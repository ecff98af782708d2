"""The command line: runs an unchanged program on ferrio.

The program must not be able to tell: it gets the `__main__` module, sys.argv, sys.path, tracebacks and exit status
that plain python gives it. Programs are run as the interpreter runs them; modules, directories and archives by the same
function of runpy.
"""

import builtins
import linecache
import os
import pkgutil
import runpy
import sys
import textwrap
from collections.abc import Callable
from importlib.machinery import BuiltinImporter, SourceFileLoader
from types import CodeType, ModuleType, TracebackType
from typing import NamedTuple, NoReturn

import ferrio
from ferrio import _fail_on_block, _views
from ferrio._ferrio import _hide_frames
from ferrio._interpreter_options import command_with_options_in_front
from ferrio._processes import begin
from ferrio._views import VIEWS

USAGE = (
    "usage: python -m ferrio [run] [--children] [--debug] [--fail-on-block LIMIT] [--inspect] [--quiet] "
    "[--record FILE] [--record-bytes] [--trace FILE] [-m MODULE | -c CODE | FILE] [ARGS...]"
)

VIEW_LINES = "\n".join(f"  {f'{view} {words}':<17} {shows}" for view, (words, shows) in VIEWS.items())

HELP = f"""\
{USAGE}

Run an asyncio program on ferrio's event loop, unchanged.

  FILE        a script, a directory or archive with a __main__.py, or - for standard input
  -m MODULE   a module or package, as with python -m
  -c CODE     code given as an argument
  ARGS...     passed to the program in sys.argv[1:]

Without a program, asyncio's REPL runs on ferrio, or, if standard input is no terminal, the program that it contains.
Options of the interpreter (-X, -O, -W, -i ...) belong before -m ferrio: python -X dev -m ferrio app.py

  --children  run the children of multiprocessing's spawn and forkserver on ferrio as well: uvicorn's workers, --reload
  --inspect   let the views below ask the program, as FERRIO_INSPECT=1 does
  --debug     run event loops in asyncio's debug mode
  --fail-on-block LIMIT
              exit with status {_fail_on_block.STATUS} if a callback blocks a loop for longer, such as 50ms
  --record FILE
              write what happens to the program's loop to FILE, for ferrio.testing.replay
  --record-bytes
              with what its connections receive, without which those cannot be replayed
  --trace FILE
              write what the loops did to FILE when the program ends, for Perfetto's UI or chrome://tracing
  --quiet     do not say so when the program itself chooses another loop
  --version   print the version and exit
  -h, --help  print this help and exit

See into a program that runs with --inspect (to run a script of such a name, write ./ps):

{VIEW_LINES}

`ferrio` is the same command as `python -m ferrio`.
"""

FLAGS = ("--children", "--debug", "--inspect", "--quiet", "--record-bytes")

# What the others need.
WITH_A_VALUE = {_fail_on_block.OPTION: "a duration such as 50ms", "--record": "a file", "--trace": "a file"}


class Chosen(NamedTuple):
    """ferrio's own options, as the command line has them."""

    flags: set[str]
    # In seconds.
    limits: set[float]
    # Files.
    traces: set[str]
    recordings: set[str]


# The attribute in which modules name their compiled file; later Pythons have none.
NOT_CACHED: dict[str, None] = {"__cached__": None} if sys.version_info < (3, 15) else {}


def main(arguments: list[str]) -> None:
    """Parses ferrio's own options up to the program, then becomes the program; or shows a view."""
    if arguments[:1] == ["run"]:
        arguments = arguments[1:]
    elif arguments and arguments[0] in VIEWS:
        from ferrio.inspect import _command

        return _command.main(arguments[0], arguments[1:])
    chosen = Chosen(set(), set(), set(), set())
    given = arguments
    while arguments and (rest := without_own_option(arguments, chosen)) is not None:
        arguments = rest
    if not arguments:
        if sys.stdin is not None and sys.stdin.isatty():
            return become(run_module, "asyncio", ["-m"], chosen)
        return become(run_stdin, "", [""], chosen)
    option, *rest = arguments
    if option in ("-h", "--help"):
        print(HELP, end="")
        return
    if option == "--version":
        print(f"ferrio {ferrio.__version__} on Python {sys.version.split()[0]}")
        ferrio.install()  # as before a program, which would find anyio so
        print(f"anyio: {ferrio.anyio_status()}")
        return
    if option[:2] in ("-m", "-c"):
        value, *rest = [option[2:], *rest] if option[2:] else rest or reject(f"{option} needs an argument")
        return become(run_module if option[:2] == "-m" else run_code, value, [option[:2], *rest], chosen)
    if option.startswith("-") and option != "-":
        own = given[: len(given) - len(arguments)]
        if command := command_with_options_in_front(own, arguments):
            reject(f"{option} is an option of the interpreter, which reads it before -m ferrio:\n    {command}")
        reject(f"unknown option {option}")
    become(run_stdin if option == "-" else run_path, option, [option, *rest], chosen)


def without_own_option(arguments: list[str], chosen: Chosen) -> list[str] | None:
    """Moves ferrio's own option at the front into `chosen`; the arguments after it, or None if there is no such one."""
    option, *rest = arguments
    name, equals, value = option.partition("=")
    if option in FLAGS:
        chosen.flags.add(option)
        return rest
    if name not in WITH_A_VALUE:
        return None
    if not equals:
        value, *rest = rest or reject(f"{option} needs {WITH_A_VALUE[name]}")
    if name == _fail_on_block.OPTION:
        chosen.limits.add(limit(value))
    elif name == "--record":
        chosen.recordings.add(value)
    else:
        chosen.traces.add(value)
    return rest


def limit(text: str) -> float:
    """The limit that is given to `--fail-on-block`."""
    try:
        return _views.seconds(text)
    except ValueError as error:
        reject(f"{_fail_on_block.OPTION}: {error}")


def reject(reason: str) -> NoReturn:
    """Exits with a usage message."""
    print(f"ferrio: {reason}\n{USAGE}\nTry `python -m ferrio --help` for more.", file=sys.stderr)
    sys.exit(2)


def become(run: Callable[[str, ModuleType], None], program: str, argv: list[str], chosen: Chosen) -> None:
    """Puts a fresh `__main__` in place of this one and runs the program in it."""
    module = ModuleType("__main__")
    module.__dict__.update(__builtins__=builtins, __loader__=BuiltinImporter)
    if sys.version_info < (3, 14):
        module.__dict__.update(__annotations__={})
    sys.modules["__main__"] = module
    sys.argv[:] = argv
    _hide_frames(__file__)
    # Environment variables, not attributes of one loop: they apply to every loop, also in child processes.
    if "--debug" in chosen.flags:
        os.environ["PYTHONASYNCIODEBUG"] = "1"
    if "--inspect" in chosen.flags and not _views.is_wanted():
        os.environ[_views.VARIABLE] = "1"
    begin(children="--children" in chosen.flags, quiet="--quiet" in chosen.flags)
    for each in chosen.limits:
        _fail_on_block.begin(each)
    for file in chosen.traces:
        trace(file)
    if len(chosen.recordings) > 1:
        reject("a program has one recording")
    for file in chosen.recordings:
        record(file, "--record-bytes" in chosen.flags, program if run is run_path else "")
    if _views.is_wanted():
        inspect(must="--inspect" in chosen.flags)
    try:
        run(program, module)
    except SystemExit as end:
        if chosen.limits and end.code in (None, 0):
            fail_if_blocked()
        if sys.flags.inspect:
            hide_own_frames(end)
            raise
        # The interpreter calls no hook for it. Another one leaves, so that the traceback of the program's own, which a
        # task may show when it is freed, does not grow.
        program_frames = frames_of_program(end)
        try:
            raise SystemExit(end.code)
        finally:
            end.__traceback__ = program_frames
    except BaseException as exception:
        hide_own_frames(exception)
        raise
    if chosen.limits:
        fail_if_blocked()


def fail_if_blocked() -> None:
    """Exits with a status of its own if a callback has blocked a loop."""
    found = _fail_on_block.text(since=0)
    if found is not None:
        print(f"ferrio: {found}", file=sys.stderr)
        sys.exit(_fail_on_block.STATUS)


def inspect(must: bool) -> None:
    """Lets the views ask this program. If it cannot be, that ends a command that asked for it."""
    try:
        _views.start()
    except Exception as error:
        print(f"ferrio: cannot inspect: {error}", file=sys.stderr)
        if must:
            sys.exit(2)


def trace(file: str) -> None:
    """Writes a trace to `file` when the program ends."""
    try:
        _views.trace(file)
    except OSError as error:
        print(f"ferrio: cannot write {file}: {error.strerror or error}", file=sys.stderr)
        sys.exit(2)


def record(file: str, keeps_bytes: bool, script: str) -> None:
    """Records the first loop of the program to `file`."""
    from ferrio.testing import _recordings

    try:
        _recordings.until_exit(file, keeps_bytes, script)
    except OSError as error:
        print(f"ferrio: cannot write {file}: {error.strerror or error}", file=sys.stderr)
        sys.exit(2)


def command() -> None:
    """The console script `ferrio`: programs run in an interpreter that was started for them, as by `python -m`."""
    arguments = sys.argv[1:]
    if arguments and arguments[0] in VIEWS:
        main(arguments)
    else:
        os.execv(sys.executable, [sys.executable, "-m", "ferrio", *arguments])


def run_module(name: str, module: ModuleType) -> None:
    """Runs a module or package; runpy finds `module` in sys.modules."""
    set_first_path(os.getcwd())
    runpy._run_module_as_main(name)  # type: ignore[attr-defined] # what `python -m` calls


def run_path(path: str, module: ModuleType) -> None:
    """Runs a script, or the `__main__` of a directory or an archive."""
    # Not os.path.abspath: like the interpreter, this keeps `..` and a trailing slash.
    absolute = os.path.join(os.getcwd(), path)
    if pkgutil.get_importer(absolute) is not None:
        # Plain python adds it even in safe-path mode.
        sys.path[: 0 if sys.flags.safe_path else 1] = [absolute]
        runpy._run_module_as_main("__main__", alter_argv=False)  # type: ignore[attr-defined]
        return
    try:
        code = read_code(absolute)
    except OSError as error:
        reason = f"[Errno {error.errno}] {error.strerror}"
        print(f"{sys.executable}: can't open file {absolute!r}: {reason}", file=sys.stderr)
        sys.exit(2)
    set_first_path(os.path.dirname(os.path.realpath(path)))
    module.__dict__.update(__file__=absolute, __loader__=SourceFileLoader("__main__", absolute), **NOT_CACHED)
    exec(code, module.__dict__)


def run_code(source: str, module: ModuleType) -> None:
    """Runs code given as an argument."""
    set_first_path("")
    if sys.version_info >= (3, 14):
        source = textwrap.dedent(source)
    code = compile(source, "<string>", "exec", dont_inherit=True)
    if sys.version_info >= (3, 13):
        show_in_tracebacks(code, source)
    exec(code, module.__dict__)


def run_stdin(dash: str, module: ModuleType) -> None:
    """Runs the code from standard input."""
    set_first_path("")
    source = sys.stdin.buffer.read() if sys.stdin else b""
    module.__dict__.update(__file__="<stdin>", **NOT_CACHED)
    exec(compile(source, "<stdin>", "exec", dont_inherit=True), module.__dict__)


def read_code(path: str) -> CodeType:
    """The code object of a source file or a compiled file."""
    with open(path, "rb") as file:
        code: CodeType | None = pkgutil.read_code(file)
        if code is None:
            file.seek(0)
            code = compile(file.read(), path, "exec", dont_inherit=True)
    return code


def set_first_path(entry: str) -> None:
    """Replaces the working directory, which `python -m ferrio` added to sys.path, by the program's entry."""
    if not sys.flags.safe_path:
        sys.path[0] = entry


def show_in_tracebacks(code: CodeType, source: str) -> None:
    """Makes tracebacks quote the code of `-c`, as they do from Python 3.13 on."""
    if hasattr(linecache, "_interactive_cache"):
        linecache._register_code(code, source, "<string>")  # type: ignore[attr-defined]
    else:
        lines = [line + "\n" for line in source.splitlines()]
        linecache.cache["<string>"] = (len(source), None, lines, "<string>")


def frames_of_program(exception: BaseException) -> TracebackType | None:
    """The exception's traceback without the frames of this file, which are outermost."""
    traceback = exception.__traceback__
    while traceback is not None and traceback.tb_frame.f_code.co_filename == __file__:
        traceback = traceback.tb_next
    return traceback


def hide_own_frames(exception: BaseException) -> None:
    """Makes the interpreter, which is about to exit because of this exception, report it without frames of this file.

    Only the interpreter can do the rest: exit statuses, dying of the signal after Ctrl-C, a failing sys.excepthook. So
    the exception propagates, and the hook that the interpreter calls gets a shorter traceback.
    """
    traceback = frames_of_program(exception)
    hook = getattr(sys, "excepthook", None)
    if hook is None:
        return

    def hook_without_own_frames(kind: type[BaseException], value: BaseException, _: TracebackType | None) -> None:
        sys.excepthook = hook
        sys.last_traceback = value.__traceback__ = traceback
        hook(kind, value, traceback)

    sys.excepthook = hook_without_own_frames


if __name__ == "__main__":
    main(sys.argv[1:])
