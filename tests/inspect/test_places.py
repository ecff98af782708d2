"""Which tasks of a place leak: those that stay and become more, for no reason that ends."""

import pytest

from ferrio.inspect._growth import LOOKS
from ferrio.inspect._places import Place


def leaks(looks, connections=None, amount=LOOKS - 1):
    """What is said after looks at which these tasks stay, a second apart."""
    place = Place()
    for now, staying in enumerate(looks):
        place.look(now, frozenset(staying), 0 if connections is None else connections[now], 0.5)
    return place.leak(len(looks), LOOKS - 1, amount)


def numbered(*ranges):
    return [set(map(str, each)) for each in ranges]


GROWING = numbered(*(range(10 * look) for look in range(1, LOOKS + 1)))


def test_tasks_that_stay_and_become_more_leak():
    assert leaks(GROWING) == (LOOKS - 1, 10, 10 * LOOKS)


def test_a_leak_is_one_although_a_few_go_on():
    looks = [each - {"0"} if place > 2 else each for place, each in enumerate(GROWING)]
    assert leaks(looks) == (LOOKS - 1, 10, 10 * LOOKS - 1)


@pytest.mark.parametrize("lifetime", [1, 3])
def test_tasks_that_are_more_and_more_and_go_on_do_not_leak(lifetime):
    looks = numbered(
        *(range(10 * (look - lifetime) ** 2 if look > lifetime else 0, 10 * (look + 1) ** 2) for look in range(20))
    )
    assert leaks(looks) is None


def test_tasks_that_become_fewer_do_not_leak():
    assert leaks([*GROWING, *GROWING[:-1]]) is None


def test_tasks_that_are_as_many_more_as_connections_do_not_leak():
    assert leaks(GROWING, connections=[3 + len(each) for each in GROWING]) is None
    # Two for each.
    assert leaks(GROWING, connections=[len(each) // 2 for each in GROWING]) is None


def test_tasks_that_become_more_beside_a_few_more_connections_leak():
    assert leaks(GROWING, connections=[100 + look for look in range(LOOKS)]) is not None


def test_a_number_that_stays_is_no_leak():
    assert leaks([GROWING[-1]] * 10) is None
