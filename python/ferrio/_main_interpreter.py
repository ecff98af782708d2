"""Refuses to be imported anywhere but in the main interpreter.

The extension's state belongs to the process, so that objects of one interpreter would reach another. This is asked
before the extension is loaded, since loading it in part may already do harm. asyncio works there as it always does.
"""

try:
    import _interpreters as _interpreters
except ImportError:  # before 3.13
    import _xxsubinterpreters as _interpreters  # type: ignore[import-not-found, no-redef, unused-ignore]

# From 3.13 on these are pairs of the identifier and where the interpreter comes from, equal in the main one alone.
if _interpreters.get_current() != _interpreters.get_main():
    raise ImportError("ferrio works in the main interpreter only; use asyncio in the others", name="ferrio")
