"""The interpreter's own tests of asyncio (`test.test_asyncio`), run on ferrio's loop.

A test that stock asyncio passes in this interpreter and ferrio does not is a fault of ferrio, unless
`inapplicable.toml` names it with a reason. Tests come with the interpreter; nothing is copied here.

    python -m tests.conformance                      every module
    python -m tests.conformance --only test_events   one module
"""
