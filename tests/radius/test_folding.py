"""Records of sessions, in whatever order and number they come, and what they make of them. Nothing is stored here."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.sessions import NAS_REBOOT, REPLACED, UNKNOWN_TO_NAS
from radius.accounting import SessionChange, Status
from radius.folding import COUNTER_RESET, OLDER_SESSION, SessionState, end, fold
from radius.tally import Tally

BEGIN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SERVICE = 7


def after(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def change(status: Status, at: float, seconds: int = 0, down: int = 0, up: int = 0, **more: object) -> SessionChange:
    fields = {
        "nas_id": 3,
        "device": "192.0.2.1",
        "acct_session_id": "s1",
        "login": "ann",
        "status": status,
        "at": after(at),
        "stamped": True,
        "octets_in": up,
        "octets_out": down,
        "seconds": seconds,
        "terminate_cause": "User-Request" if status == Status.STOP else "",
        "framed_address": None,
        "calling_station": "",
        "nas_identifier": "",
        "nas_port_id": "",
        "nas_address": None,
        "accepted": None,
    }
    return SessionChange(**{**fields, **more})  # type: ignore[arg-type]


def start(at: float = 0, **more: object) -> SessionChange:
    return change(Status.START, at, **more)


def interim(at: float, **more: object) -> SessionChange:
    return change(Status.INTERIM, at, **{"seconds": int(at), **more})


def stop(at: float, **more: object) -> SessionChange:
    return change(Status.STOP, at, **{"seconds": int(at), **more})


def of(*changes: SessionChange) -> list[SessionState]:
    """All sessions that these records make, in the order of their beginning."""
    return sorted(tally(*changes).opened(), key=lambda state: state.started_at)


def tally(*changes: SessionChange, loaded: tuple[SessionState, ...] = ()) -> Tally:
    result = Tally({"ann": SERVICE, "bob": 8}, [SERVICE, 8, 9], ZoneInfo("Europe/Paris"))
    for state in loaded:
        result.load(state)
    for each in changes:
        result.take(each)
    return result


def only(*changes: SessionChange) -> SessionState:
    (state,) = of(*changes)
    return state


def test_a_start_opens():
    state = only(start(framed_address="10.0.0.1", calling_station="aa", accepted=(SERVICE, 4)))
    assert (state.started_at, state.stopped_at, state.service_id) == (BEGIN, None, SERVICE)
    assert (state.framed_address, state.calling_station, state.accepted_version) == ("10.0.0.1", "aa", 4)


def test_a_stop_closes():
    state = only(start(), stop(60, down=5, up=3))
    assert (state.stopped_at, state.terminate_cause) == (after(60), "User-Request")
    assert (state.octets_out, state.octets_in, state.seconds) == (5, 3, 60)


def test_an_interim_of_an_unknown_session_opens_it_where_it_began():
    state = only(interim(300, down=9))
    assert (state.started_at, state.updated_at, state.stopped_at, state.octets_out) == (BEGIN, after(300), None, 9)


def test_a_stop_of_an_unknown_session_leaves_a_closed_one():
    state = only(stop(300, down=9))
    assert (state.started_at, state.stopped_at, state.octets_out) == (BEGIN, after(300), 9)


@pytest.mark.parametrize("late", [interim(200, down=4), interim(400, down=4, stamped=False), start(), interim(301)])
def test_nothing_reopens_a_session_that_stopped(late):
    state = only(start(), stop(300, down=9), late)
    assert (state.stopped_at, state.octets_out) == (after(300), 9)


def test_a_counter_never_falls():
    result = tally(start(), interim(300, down=1000, up=500), interim(600), stop(900))
    (state,) = result.opened()
    assert (state.octets_out, state.octets_in) == (1000, 500)
    assert not result.remarks, "counters of zero are known from NASes that lost the carrier"


def test_a_counter_that_starts_over_is_counted():
    result = tally(start(), interim(300, down=1000), interim(600, down=10))
    assert result.opened()[0].octets_out == 1000
    assert result.remarks == {(COUNTER_RESET, "192.0.2.1"): 1}


def test_a_reordered_record_is_no_counter_that_starts_over():
    assert not tally(start(), interim(600, down=1000), interim(300, down=10)).remarks


def test_an_id_used_again_is_another_session():
    first, second = of(start(), stop(300, down=9), start(1000), change(Status.INTERIM, 1300, 300, 5))
    assert (first.stopped_at, first.octets_out) == (after(300), 9)
    assert (second.started_at, second.stopped_at, second.octets_out) == (after(1000), None, 5)


def test_an_id_used_again_closes_the_session_whose_stop_was_lost():
    first, second = of(start(), interim(300, down=9), start(1000))
    assert (first.stopped_at, first.terminate_cause, first.octets_out) == (after(1000), REPLACED, 9)
    assert second.stopped_at is None


@pytest.mark.parametrize("again", [0, 3, 29])
def test_a_start_told_again_is_the_same_session(again):
    assert only(start(), start(again)).started_at == BEGIN


def test_a_repeated_start_without_a_stamp_is_not_another_session():
    assert only(start(stamped=False), stop(10, stamped=False), start(25, stamped=False)).stopped_at == after(10)


@pytest.mark.parametrize("late", [change(Status.STOP, 1000, 500, 2), change(Status.INTERIM, 1000, 500, 2)])
def test_an_id_used_again_is_seen_without_its_start(late):
    first, second = of(start(), stop(300, down=9), late)
    assert (first.octets_out, second.started_at, second.octets_out) == (9, after(500), 2)


def test_the_stop_of_an_older_session_does_not_close_a_newer():
    result = tally(start(1000), stop(300))
    assert [(state.started_at, state.stopped_at) for state in result.opened()] == [(after(1000), None)]
    assert result.remarks == {(OLDER_SESSION, "192.0.2.1"): 1}


def test_facts_that_come_later_are_kept_and_older_ones_do_not_come_back():
    state = only(
        start(framed_address="10.0.0.1", nas_identifier="a"),
        interim(600, framed_address="10.0.0.2", nas_port_id="p"),
        interim(300, framed_address="10.0.0.1", calling_station="late"),
        interim(900),
    )
    assert (state.framed_address, state.nas_identifier, state.nas_port_id) == ("10.0.0.2", "a", "p")
    assert state.calling_station == "late"


def test_only_the_start_says_which_version_was_accepted():
    assert only(start(accepted=(SERVICE, 2)), interim(300, accepted=(SERVICE, 1))).accepted_version == 2
    assert only(interim(300, accepted=(SERVICE, 1)), start(accepted=(SERVICE, 2))).accepted_version == 2
    assert only(interim(300, accepted=(SERVICE, 1)), interim(600, accepted=(SERVICE, 5))).accepted_version == 1
    assert only(start(), interim(300, accepted=(SERVICE, 1))).accepted_version is None


def test_a_class_of_another_service_says_nothing_about_this_one():
    state = only(start(accepted=(8, 2)))
    assert (state.service_id, state.accepted_version) == (SERVICE, None)


def test_a_login_that_the_nas_changed_is_found_by_our_class():
    state = only(start(login="ann@elsewhere", accepted=(9, 2)))
    assert (state.service_id, state.accepted_version) == (9, 2)
    assert only(start(login="ann@elsewhere", accepted=(99, 2))).service_id is None


def test_usage_is_counted_once_and_on_the_day_it_was_told():
    night = interim(11 * 3600 - 60, down=100, up=10)  # 23:59 in Paris
    result = tally(start(), night, night, interim(11 * 3600 + 60, down=130, up=10), start())
    counted = {key: (each.octets_in, each.octets_out, each.seconds) for key, each in result.usage.items()}
    assert counted == {(SERVICE, date(2026, 3, 1)): (10, 100, 39540), (SERVICE, date(2026, 3, 2)): (0, 30, 120)}


def test_a_session_of_nobody_counts_for_nobody():
    result = tally(start(login="eve"), interim(300, login="eve", down=5))
    assert result.opened()[0].octets_out == 5
    assert not result.usage


class TestAddress:
    """Only one session of a device can have an address."""

    @pytest.fixture
    def old(self):
        return start(acct_session_id="old", framed_address="10.0.0.1", nas_identifier="a")

    @pytest.mark.parametrize("record", [start(500, framed_address="10.0.0.1"), interim(500, seconds=10)])
    def test_a_newer_session_closes_the_older(self, old, record):
        first, second = of(old, record._replace(login="bob", framed_address="10.0.0.1"))
        assert (first.stopped_at, first.terminate_cause) == (second.started_at, REPLACED)
        assert second.stopped_at is None

    def test_also_when_it_learns_its_address_later(self, old):
        first, second = of(old, start(500), interim(800, seconds=300, framed_address="10.0.0.1"))
        assert (first.stopped_at, second.stopped_at) == (after(500), None)

    def test_also_when_the_older_is_told_about_last(self, old):
        first, second = of(start(500, framed_address="10.0.0.1"), old)
        assert (first.stopped_at, second.stopped_at) == (after(500), None)

    @pytest.mark.parametrize(
        "other",
        [
            {"framed_address": "10.0.0.2"},
            {"device": "192.0.2.2"},
            {"nas_id": 4},
            {"nas_identifier": "b"},
        ],
    )
    def test_another_address_or_device_closes_nothing(self, old, other):
        states = of(old, start(500, **{"framed_address": "10.0.0.1", **other}))
        assert [state.stopped_at for state in states] == [None, None]

    def test_nothing_is_closed_that_was_heard_of_since(self, old):
        alive = old._replace(status=Status.INTERIM, at=after(600), seconds=600)
        assert [state.stopped_at for state in of(old, alive, start(500, framed_address="10.0.0.1"))] == [None, None]

    def test_a_late_stop_of_the_older_is_believed(self, old):
        gone = old._replace(
            status=Status.STOP, at=after(400), seconds=400, octets_out=9, terminate_cause="Lost-Carrier"
        )
        first, _ = of(old, start(500, framed_address="10.0.0.1"), gone)
        assert (first.stopped_at, first.terminate_cause, first.octets_out) == (after(400), "Lost-Carrier", 9)


@pytest.mark.parametrize("cause", [REPLACED, NAS_REBOOT, UNKNOWN_TO_NAS])
def test_a_session_that_is_counted_on_was_closed_wrongly(cause):
    closed = end(only(start(), interim(300)), after(400), cause)
    lives = fold(closed, interim(600, down=5), SERVICE).session
    assert (lives.stopped_at, lives.terminate_cause, lives.octets_out) == (None, "", 5)
    for not_proof in (interim(350), interim(600, stamped=False), start()):
        assert fold(closed, not_proof, SERVICE).session.stopped_at == after(400)


@dataclass(frozen=True)
class Life:
    """The records of one session as an honest NAS sends them, and how it ends."""

    records: list[SessionChange]
    octets: tuple[int, int, int]
    stopped: datetime | None


@st.composite
def lives(draw: st.DrawFn) -> Life:
    """Start, interims and perhaps a Stop, which may have lost its counters; clocks are a few seconds off."""
    steps = draw(st.lists(st.tuples(st.integers(60, 5000), st.integers(0, 10**10), st.integers(0, 10**9)), max_size=6))
    address = draw(st.sampled_from([None, "10.0.0.1"]))
    records = [start(framed_address=address, accepted=(SERVICE, 3))]
    at, down, up = 0, 0, 0
    for length, more_down, more_up in steps:
        at, down, up = at + length, down + more_down, up + more_up
        drift = draw(st.integers(-3, 3))
        records.append(interim(at, seconds=at + drift, down=down, up=up, framed_address=address))
    seconds = max([record.seconds for record in records])
    stopped = None
    if draw(st.booleans()):
        last = at + draw(st.integers(0, 100))
        lost_counters = draw(st.booleans())
        records.append(stop(last, seconds=max(last, seconds), **({} if lost_counters else {"down": down, "up": up})))
        seconds, stopped = max(last, seconds), after(last)
    return Life(records, (down, up, seconds), stopped)


@given(lives(), st.data())
def test_any_order_and_any_repetition_end_the_same(life, data):
    repeated = life.records + data.draw(st.lists(st.sampled_from(life.records), max_size=6))
    result = tally(*data.draw(st.permutations(repeated)))
    (state,) = result.opened()
    assert (state.octets_out, state.octets_in, state.seconds) == life.octets
    assert state.stopped_at == life.stopped
    assert state.accepted_version == 3
    totals = [(each.octets_out, each.octets_in, each.seconds) for each in result.usage.values()]
    assert tuple(map(sum, zip(*totals, strict=True))) == (life.octets if totals else ())


@given(lives(), st.data())
def test_batches_make_no_difference(life, data):
    """Stored and loaded again between any two records, a session becomes the same."""
    whole = only(*life.records)
    cut = data.draw(st.integers(1, len(life.records)))
    (half,) = tally(*life.records[:cut]).opened()
    later = tally(*life.records[cut:], loaded=(half._replace(id=1),))
    assert [*later.changed(), half._replace(id=1)][0] == whole._replace(id=1)
    assert later.opened() == []
