"""The queues: one errand per session, a window per device, the most urgent first."""

from hypothesis import given
from hypothesis import strategies as st

from base.wire import Act
from coa.decide import Priority
from coa.errands import RESERVE, WINDOW, Errand, Errands

RESTORE, ORDER, RESTRICT = Priority.RESTORE, Priority.ORDER, Priority.RESTRICT


def errand(session_id, priority=RESTRICT, host="192.0.2.1", asked=None):
    return Errand(session_id, host, 3799, priority, None if asked is None else Act.DISCONNECT, asked)


def queued(*several):
    errands = Errands()
    for each in several:
        errands.add(each)
    return errands


def test_the_most_urgent_goes_first_and_among_equals_the_first():
    errands = queued(errand(1), errand(2), errand(3, ORDER, asked=7), errand(4, RESTORE), errand(5, RESTORE))
    assert [each.session_id for each in errands.start()] == [4, 5, 3, 1, 2]


def test_a_window_per_device_with_a_reserve_for_what_is_urgent():
    errands = queued(*(errand(number) for number in range(WINDOW + 5)), errand(900, host="192.0.2.2"))
    started = errands.start()
    assert len(started) == WINDOW + 1
    assert errands.start() == []
    for number in range(1000, 1000 + RESERVE + 5):
        errands.add(errand(number, RESTORE))
    assert len(errands.start()) == RESERVE
    errands.end(started[0])
    assert [each.priority for each in errands.start(started[0].device)] == [RESTORE]


def test_a_session_waits_once_and_what_is_more_urgent_takes_the_place():
    errands = queued(errand(1), errand(2), errand(1), errand(2, RESTORE), errand(2))
    assert errands.start() == [errand(2, RESTORE), errand(1)]


def test_what_comes_up_while_one_is_under_way_follows_it():
    errands = queued(errand(1))
    [first] = errands.start()
    errands.add(errand(1))
    errands.add(errand(1, ORDER, asked=7))
    errands.add(errand(1, RESTORE))
    assert errands.start() == []
    assert errands.wire_requests == {7}
    errands.end(first)
    assert errands.start() == [errand(1, ORDER, asked=7)]


def test_of_two_people_the_first_is_served_first():
    errands = queued(errand(1, ORDER, asked=7), errand(1, ORDER, asked=8))
    assert errands.wire_requests == {7}  # the other is still to be taken up
    [first] = errands.start()
    errands.add(errand(1, ORDER, asked=8))
    errands.end(first)
    assert errands.start() == [errand(1, ORDER, asked=8)]


@given(st.lists(st.tuples(st.integers(1, 6), st.sampled_from(list(Priority)), st.booleans()), max_size=60))
def test_never_two_of_a_session_and_none_is_forgotten(deeds):
    errands, under_way, seen = Errands(), {}, set()

    def start():
        for each in errands.start():
            assert each.session_id not in under_way
            under_way[each.session_id] = each
            seen.add(each.session_id)

    for session_id, priority, end in deeds:
        errands.add(errand(session_id, priority))
        start()
        if end and under_way:
            errands.end(under_way.pop(min(under_way)))
            start()
    while under_way:
        errands.end(under_way.pop(min(under_way)))
        start()
    assert seen == {session_id for session_id, _, _ in deeds}
    assert errands.sessions == []
