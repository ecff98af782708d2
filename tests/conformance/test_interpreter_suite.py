"""One pytest item for each module of the interpreter's own tests of asyncio."""

import concurrent.futures
import os

import pytest

from . import supervisor

MODULES = supervisor.modules()
REASON = "this interpreter comes without its own tests (test.test_asyncio)"


@pytest.fixture(scope="session")
def verdicts(request):
    """All modules are begun at once, one for each core; an item waits for its own. One asked for begins no others."""
    pool = concurrent.futures.ThreadPoolExecutor(min(os.cpu_count() or 1, 4))
    modules = MODULES if len(request.session.items) > 1 else ()
    yield {module: pool.submit(supervisor.judge, module) for module in modules}
    pool.shutdown(cancel_futures=True)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("module", MODULES or [pytest.param("", marks=pytest.mark.skip(reason=REASON))])
def test_what_stock_asyncio_passes_ferrio_passes(module, verdicts):
    verdict = verdicts[module].result() if module in verdicts else supervisor.judge(module)
    report = "\n\n".join(f"{outcome.what}: {name}\n{outcome.detail}" for name, outcome in verdict.faults.items())
    assert not verdict.faults, f"stock asyncio passes these and ferrio does not:\n{report}"


@pytest.mark.skipif(not MODULES, reason=REASON)
def test_every_excuse_has_a_reason_and_names_a_known_module():
    for pattern, reason in supervisor.excused().items():
        assert reason
        assert pattern.count(".") == 2 or pattern.endswith("*"), pattern
        assert pattern.split(".")[0] in MODULES, pattern
