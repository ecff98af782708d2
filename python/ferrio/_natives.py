"""Every name of asyncio's that ferrio brings itself.

Each module listed here says in `__all__` which names it has; a name that the running Python's asyncio lacks is ferrio's
alone, and install() does not add it to asyncio.
"""

from types import ModuleType
from typing import Any

from ferrio import _sync, _tasks

_modules: tuple[ModuleType, ...] = (_tasks, _sync)

NATIVES: dict[str, Any] = {name: getattr(module, name) for module in _modules for name in module.__all__}
