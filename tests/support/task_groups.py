"""What tests of task groups share."""

import asyncio

from tests.support.differential import masked


async def working(trace, name, turns=0, error=None):
    try:
        for _ in range(turns):
            await asyncio.sleep(0)
        if error is not None:
            raise error
        return name
    except asyncio.CancelledError as cancelled:
        trace.append((name, "cancelled", cancelled.args))
        raise
    finally:
        trace.append((name, "ended"))


def shown(group):
    """The group's repr and the attributes that programs read."""
    return (
        masked(repr(group)).replace("ferrio.", ""),
        [getattr(group, name) for name in ("_entered", "_exiting", "_aborting", "_parent_cancel_requested")],
        type(group._tasks).__name__,
        len(group._tasks),
        masked(group._errors),
        masked(group._base_error),
        group._loop is not None,
        group._parent_task is not None,
        group._on_completed_fut is not None,
    )


def tree(error):
    """An exception with everything below and before it."""
    if error is None:
        return None
    below = [tree(inner) for inner in error.exceptions] if isinstance(error, BaseExceptionGroup) else []
    linked = (tree(error.__cause__), tree(error.__context__), error.__suppress_context__)
    return (type(error).__name__, masked(error), below, linked)


async def raised(awaitable):
    try:
        return ("returned", await awaitable)
    except BaseException as error:
        return ("raised", tree(error))
