"""The page of `ferrio console` in a headless Chromium: what a person sees, and what the browser complains about."""

import pytest

from tests.support.chromium import Browser, executable
from tests.support.consoles import Console, console
from tests.support.inspected import inspected

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(executable() is None, reason="no Chromium or Chrome is installed"),
]

DEADLOCK = """
async def transfer(first, second):
    async with first:
        await asyncio.sleep(0)
        async with second:
            pass

async def main():
    left, right = asyncio.Lock(), asyncio.Lock()
    print("ready")
    async with asyncio.TaskGroup() as group:
        group.create_task(transfer(left, right), name="one <b>bold</b>")
        group.create_task(transfer(right, left), name="two")
"""

MANY = """
async def wait(event):
    await event.wait()

async def main():
    event = asyncio.Event()
    tasks = [asyncio.create_task(wait(event), name=f"task {number:05}") for number in range(50_000)]
    await asyncio.sleep(0)
    print("ready")
    await asyncio.gather(*tasks)
"""

BLOCKS = """
import time

def load():
    time.sleep(0.3)

async def main():
    print("ready")
    while True:
        load()
        await asyncio.sleep(0.01)
"""


def opened(browser: Browser, served: Console) -> None:
    browser.open(served.address)
    browser.until("document.querySelector('#liveness')?.textContent === 'live'")


def check_is_quiet(browser: Browser, served: Console) -> None:
    """The browser has complained about nothing, and asked nobody else."""
    browser.run("1")
    assert browser.complaints == []
    mine = (f"http://{served.host}/", "data:", "about:")
    assert [each for each in browser.requests if not each.startswith(mine)] == []


def test_a_deadlock_is_red_with_both_holders_and_a_task_opens_with_its_stack(tmp_path):
    with inspected(tmp_path, DEADLOCK) as program, console(program) as served, Browser() as browser:
        program.until_waiting(two="lock")
        opened(browser, served)
        assert served.token not in browser.run("location.href")
        assert not any(served.token in each.partition("#")[0] for each in browser.requests)
        assert browser.run("document.cookie") == ""
        browser.until("document.querySelector('.figure.alarming')?.textContent.includes('Deadlocks1')")
        browser.run("location.hash = 'waits'")
        browser.until("document.querySelectorAll('.edge.red').length === 4")
        red = "[...document.querySelectorAll('.node.task.red .title')].map(each => each.textContent).sort().join()"
        assert browser.run(red) == "one <b>bold</b>,two"
        assert browser.run("document.querySelectorAll('.node.primitive.red').length") == 2
        words = "[...document.querySelectorAll('.edge.red text')].map(each => each.textContent).sort().join()"
        assert browser.run(words) == "held by,held by,waits for,waits for"
        browser.run("document.querySelector('.node.task.red').focus()")
        browser.press("Enter")
        browser.until("!document.querySelector('#detail').hidden")
        text = browser.until("document.querySelector('#detail .stack')?.textContent")
        assert "transfer" in text
        assert "program.py:6" in text
        assert "none of these tasks can go on" in browser.run("document.querySelector('#detail').textContent")
        browser.press("Escape")
        assert browser.run("document.querySelector('#detail').hidden")
        check_is_quiet(browser, served)


def test_fifty_thousand_tasks_are_filtered_sorted_and_scrolled(tmp_path):
    with inspected(tmp_path, MANY) as program, console(program) as served, Browser() as browser:
        opened(browser, served)
        browser.run("location.hash = 'tasks'")
        counted = "document.querySelector('.counted')?.textContent"
        browser.until(f"{counted} === '50,001 rows'")
        names = "[...document.querySelectorAll('.body .kind-task')].map(each => each.textContent)"
        assert browser.run(f"{names}.length") < 100
        browser.run("document.querySelector('[data-sort=name]').click()")
        browser.until(f"{names}[0] === 'task 00000'")
        browser.run("document.querySelector('[data-sort=name]').click()")
        browser.until(f"{names}[1] === 'task 49999'")
        browser.run("document.querySelector('.table').focus()")
        browser.press("End")
        browser.until(f"{names}.includes('task 00000')")
        browser.press("Home")
        browser.until(f"{names}.includes('task 49999')")
        browser.press("ArrowDown")
        browser.press("Enter")
        browser.until("document.querySelector('#detail h2')?.textContent === 'task 49999'")
        fill = "const field = document.querySelector('input'); field.value = 'TASK 12345'; "
        browser.run(f"{fill} field.dispatchEvent(new Event('input', {{bubbles: true}}))")
        browser.until(f"{counted} === '1 of 50,001' && {names}.join() === 'task 12345'")
        check_is_quiet(browser, served)


def test_blocks_are_seen_as_reports_and_as_a_flame_graph(tmp_path):
    with inspected(tmp_path, BLOCKS) as program, console(program) as served, Browser() as browser:
        opened(browser, served)
        browser.run("location.hash = 'blocked'")
        browser.until(
            "[...document.querySelectorAll('.flame button')].some(each => each.textContent.startsWith('load'))"
        )
        browser.until("document.querySelectorAll('.block').length > 1")
        browser.run("document.querySelector('.block summary').click()")
        browser.until("document.querySelector('.block[open] .stack')?.textContent.includes('program.py')")
        check_is_quiet(browser, served)


def test_colours_follow_the_system_until_they_are_chosen_and_a_phone_shows_everything(tmp_path):
    with inspected(tmp_path, DEADLOCK) as program, console(program) as served, Browser() as browser:
        browser.prefer("light")
        opened(browser, served)
        background = "getComputedStyle(document.body).backgroundColor"
        light = browser.run(background)
        browser.prefer("dark")
        dark = browser.run(background)
        assert light != dark
        browser.run("document.querySelector('#theme').click()")
        assert browser.run(background) == light
        browser.run("document.querySelector('#theme').click()")
        browser.prefer("light")
        assert browser.run(background) == dark
        browser.resize(390, 844)
        for view in ("overview", "tasks", "waits", "blocked", "primitives"):
            browser.run(f"location.hash = '{view}'")
            browser.until(f"document.querySelector('.view-{view} .panel p.tells') !== null")
            assert browser.run("document.documentElement.scrollWidth") <= 390
        check_is_quiet(browser, served)


def test_the_end_of_the_process_is_said(tmp_path):
    with inspected(tmp_path, DEADLOCK) as program, console(program) as served, Browser() as browser:
        opened(browser, served)
        program.process.kill()
        program.process.wait()
        browser.until("document.querySelector('#liveness').textContent === 'ended'")
        assert "The process ended at" in browser.run("document.querySelector('#notices').textContent")
        check_is_quiet(browser, served)


def test_without_the_token_the_page_is_locked_and_says_how_to_open_it(tmp_path):
    with inspected(tmp_path, DEADLOCK) as program, console(program) as served, Browser() as browser:
        browser.open(f"http://{served.host}/")
        browser.until(
            "document.querySelector('.empty')?.textContent.startsWith('This page is locked: open the address')"
        )
        assert browser.run("document.body.textContent.includes('transfer')") is False
