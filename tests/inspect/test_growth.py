"""What counts as growth: a count that never shrinks, and goes on."""

from ferrio.inspect._growth import LOOKS, Growth


def test_growth_is_a_count_that_never_shrinks_and_goes_on():
    growth = Growth()
    for now in range(LOOKS):
        growth.add(now, now, 0)
    assert growth.over(LOOKS, 1, LOOKS - 1) == (LOOKS - 1, 0, LOOKS - 1)
    # Not much enough, not long enough, and no longer.
    assert [growth.over(*each) for each in ((LOOKS, 1, LOOKS), (LOOKS, LOOKS, 1), (100 * LOOKS, 1, 1))] == [None] * 3
    for now in range(1000):
        growth.add(LOOKS + now, LOOKS + now, 0)
    assert len(growth.points) <= 4 * LOOKS
    assert growth.points[0] == (0, 0)


def test_what_shrinks_once_does_not_only_grow():
    growth = Growth()
    for now, count in enumerate([*range(LOOKS), 0]):
        growth.add(now, count, 0)
    assert growth.over(LOOKS, 0, 0) is None


def test_looks_in_quick_succession_count_as_one():
    growth = Growth()
    for now in range(LOOKS):
        growth.add(now, now, 1000)
    assert len(growth.points) == 1
