"""ferrio's parts in anyio's asyncio backend: when install() puts them in place, when not, and what is said about it."""

import os
import subprocess
import sys
import textwrap

import pytest

pytest.importorskip("anyio")

VERSION = "import importlib.metadata; VERSION = importlib.metadata.version('anyio')"


def run(code: str, **variables: str) -> str:
    """What a fresh interpreter prints."""
    code = textwrap.dedent(code)
    command = [sys.executable, "-W", "error", "-c", f"import ferrio\n{code}"]
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=30, env=os.environ | variables, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


SHOW = """
def kinds():
    from anyio._backends._asyncio import AsyncIOBackend
    return sorted({type(vars(AsyncIOBackend)[name]).__name__ for name in ferrio._ferrio._anyio_parts})
"""


def test_install_does_not_import_anyio():
    assert (
        run("import sys; ferrio.install(); print([name for name in sys.modules if 'anyio' in name])")
        == "['ferrio._anyio']\n"
    )


def test_parts_are_put_in_place_when_anyio_is_imported_later():
    assert run(SHOW + "ferrio.install(); print(kinds()); print(ferrio.anyio_status())") == (
        f"['staticmethod']\nnative, anyio {run(VERSION + '; print(VERSION)')}"
    )


def test_parts_are_put_in_place_when_anyio_is_there_already():
    assert run(SHOW + "print(kinds()); ferrio.install(); print(kinds())") == "['classmethod']\n['staticmethod']\n"


def test_uninstall_restores_anyios_methods_and_the_finders():
    assert (
        run(
            """
        import sys
        from anyio._backends._asyncio import AsyncIOBackend
        def state():
            return dict(vars(AsyncIOBackend)), list(sys.meta_path)
        before = state()
        ferrio.install()
        during = state()
        ferrio.uninstall()
        print(before == state(), before == during)
        """
        )
        == "True False\n"
    )


def test_anyio_imported_after_uninstall_is_left_alone():
    assert run(SHOW + "ferrio.install(); ferrio.uninstall(); print(kinds())") == "['classmethod']\n"


def test_a_module_imported_through_the_finder_looks_as_ever():
    code = """
        import anyio._backends._asyncio as module
        print(type(module.__loader__).__name__, type(module.__spec__.loader).__name__, module.__file__)
    """
    assert run("ferrio.install()\n" + textwrap.dedent(code)) == run(code)


def test_the_environment_turns_the_parts_off():
    code = SHOW + "ferrio.install(); print(kinds()); print(ferrio.anyio_status())"
    assert run(code, FERRIO_ANYIO="0") == "['classmethod']\noff: FERRIO_ANYIO=0\n"


@pytest.mark.parametrize("version", ["3.7.1", "4.14.2", "99.0.0", "next"])
def test_another_version_is_left_alone(version):
    printed = run(
        SHOW
        + f"""
import importlib.metadata
importlib.metadata.version = lambda name: {version!r}
ferrio.install()
print(ferrio.anyio_status())
print(kinds())
print(ferrio.anyio_status())
"""
    )
    status = f"anyio's own: anyio {version} is not a version from 4.15 up to and without 4.17"
    assert printed == f"{status}\n['classmethod']\n{status}\n"


def test_status_without_install_and_without_anyio():
    assert run("print(ferrio.anyio_status())") == "off: ferrio is not installed in asyncio's place\n"
    hidden = "import sys; sys.path[:] = [p for p in sys.path if 'site-packages' not in p]; "
    assert run(hidden + "ferrio.install(); print(ferrio.anyio_status())") == "off: there is no anyio\n"


def test_a_method_that_other_code_replaced_stays():
    assert (
        run(
            """
        from anyio._backends._asyncio import AsyncIOBackend
        AsyncIOBackend.checkpoint = classmethod(lambda cls: None)
        before = vars(AsyncIOBackend)["checkpoint"]
        ferrio.install()
        print(vars(AsyncIOBackend)["checkpoint"] is before)
        """
        )
        == "True\n"
    )


def test_other_loops_get_anyios_own_parts():
    assert (
        run(
            """
        import asyncio, anyio
        from anyio._backends._asyncio import AsyncIOBackend
        async def main():
            await anyio.lowlevel.checkpoint()
            await anyio.sleep(0)
            return isinstance(AsyncIOBackend.current_time(), float), type(asyncio.get_running_loop()).__module__
        import anyio.lowlevel
        ferrio.install()
        print(anyio.run(main))
        print(anyio.run(main, backend_options={"loop_factory": asyncio.SelectorEventLoop}))
        """
        )
        == "(True, 'ferrio')\n(True, 'asyncio.unix_events')\n"
    )


def test_the_command_line_tells_of_anyio():
    command = [sys.executable, "-m", "ferrio", "--version"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("anyio: native once it is imported, anyio ")
