"""The records of one batch, taken in order into the sessions that they are about; pure, stored by radius.session_rows.

It holds every session that a record of the batch names, and every open one that shares an address with them.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import date
from zoneinfo import ZoneInfo

from base.calendar import local_date
from base.sessions import REPLACED
from radius.accounting import SessionChange, Status
from radius.folding import SessionState, end, fold, is_superseded

Place = tuple[int, str, str]
"NAS, device and framed address: where only one session can be."


class Usage:
    """What was counted on one day for one service."""

    __slots__ = ("octets_in", "octets_out", "seconds")

    def __init__(self) -> None:
        self.octets_in = self.octets_out = self.seconds = 0


class Tally:
    """Sessions as they were loaded, and as they are after the records taken."""

    def __init__(self, services: Mapping[str, int], service_ids: Iterable[int], zone: ZoneInfo) -> None:
        self._services, self._service_ids, self._zone = services, frozenset(service_ids), zone
        self._sessions: list[SessionState] = []
        self._loaded: list[SessionState | None] = []
        self._by_key: dict[tuple[int, str, str, str], int] = {}
        self._by_place: defaultdict[Place, set[int]] = defaultdict(set)
        self.usage: defaultdict[tuple[int, date], Usage] = defaultdict(Usage)
        self.remarks: Counter[tuple[str, str]] = Counter()
        "(name, device) to count."
        self.moved = False
        "A session opened or closed."

    def load(self, state: SessionState) -> None:
        """Take a stored session; the newest under its key, or an open one whose address is of interest."""
        known = self._by_key.get(state.key)
        if known is not None and self._sessions[known].id == state.id:
            return
        index = self._add(state, state)
        if known is None or self._sessions[known].started_at < state.started_at:
            self._by_key[state.key] = index

    def places_of(self, changes: Iterable[SessionChange]) -> set[Place]:
        """The addresses that these records may give to a session that did not have them."""
        places: set[Place] = set()
        for change in changes:
            if change.framed_address is None:
                continue
            known = self._by_key.get(change.key)
            state = None if known is None else self._sessions[known]
            goes_on = state is not None and state.stopped_at is None and change.status != Status.START
            if not goes_on or state is None or state.framed_address != change.framed_address:
                places.add((change.nas_id, change.device, change.framed_address))
        return places

    def take(self, change: SessionChange) -> None:
        """Take one record in."""
        service_id = self._service_of(change)
        known = self._by_key.get(change.key)
        before = None if known is None else self._sessions[known]
        folded = fold(before, change, service_id)
        if folded.remark is not None:
            self.remarks[folded.remark, change.device] += 1
        if known is None or folded.is_another:
            if known is not None and folded.ended is not None:
                self._sessions[known] = folded.ended
            before = None
            known = self._by_key[change.key] = self._add(folded.session, None)
        else:
            self._sessions[known] = folded.session
        self._count(before, folded.session, change)
        if before is None or before.stopped_at != folded.session.stopped_at:
            self.moved = True
        if before is None or (before.stopped_at, before.framed_address) != (
            folded.session.stopped_at,
            folded.session.framed_address,
        ):
            self._settle(known)

    def opened(self) -> list[SessionState]:
        """Sessions to insert."""
        return [state for state in self._sessions if state.id is None]

    def changed(self) -> list[SessionState]:
        """Sessions to update, in the order of their ids."""
        pairs = zip(self._sessions, self._loaded, strict=True)
        return sorted(state for state, loaded in pairs if loaded is not None and state != loaded)

    def _add(self, state: SessionState, loaded: SessionState | None) -> int:
        self._sessions.append(state)
        self._loaded.append(loaded)
        index = len(self._sessions) - 1
        self._put(index)
        return index

    def _put(self, index: int) -> Place | None:
        place = _place_of(self._sessions[index])
        if place is not None:
            self._by_place[place].add(index)
        return place

    def _settle(self, index: int) -> None:
        """Close the sessions whose address a newer one has; only the newest can really be there."""
        place = self._put(index)
        if place is None:
            return
        here = {other: self._sessions[other] for other in self._by_place[place]}
        here = {other: state for other, state in here.items() if _place_of(state) == place}
        newest = max(here.values(), key=lambda state: state.started_at)
        for other, state in here.items():
            if is_superseded(state, newest):
                self._sessions[other] = end(state, newest.started_at, REPLACED)
                self.moved = True

    def _service_of(self, change: SessionChange) -> int | None:
        """By login; where the NAS reports another one than it logged in with, by our Class."""
        found = self._services.get(change.login)
        if found is None and change.accepted is not None and change.accepted[0] in self._service_ids:
            return change.accepted[0]
        return found

    def _count(self, before: SessionState | None, after: SessionState, change: SessionChange) -> None:
        if after.service_id is None:
            return
        octets_in, octets_out, seconds = after.octets_in, after.octets_out, after.seconds
        if before is not None:
            octets_in -= before.octets_in
            octets_out -= before.octets_out
            seconds -= before.seconds
        if octets_in or octets_out or seconds:
            usage = self.usage[after.service_id, local_date(change.at, self._zone)]
            usage.octets_in += octets_in
            usage.octets_out += octets_out
            usage.seconds += seconds


def _place_of(state: SessionState) -> Place | None:
    """Where an open session is."""
    if state.framed_address is None or state.stopped_at is not None:
        return None
    return state.nas_id, state.device, state.framed_address
