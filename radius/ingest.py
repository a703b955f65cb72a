"""The process that turns a node's journal into tables: batch by batch, each in one transaction with its own offset.

Because the offset commits with the rows, a record has its effect once, wherever the process or the database dies. What
cannot be understood is counted by name; what the database refuses is skipped with an alarm that keeps it; neither stops
the rest. While the database is away nothing is lost: the journal keeps it.
"""

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Protocol
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from base import clock, pulse
from base.business import load_business
from base.crypto import Vault, open_vault
from base.database import address, connect, transaction
from base.log import alarm, logger
from base.settings import Settings
from base.tables import journal_offset
from radius.batch import NOBODY, add_drops, prune, store
from radius.journal_folder import NoJournal, delete_before, list_segments, read_node_id, segment_path, take_lock
from radius.journal_format import HEADER_SIZE, START, JournalError, Position, Record, decode_header
from radius.journal_reader import ForeignSegment, Gap, PositionAhead, read

BATCH = 2_000  # records of one transaction, at most
GATHER = 0.1  # seconds that a batch may gather
IDLE = 0.02  # seconds between two looks at a journal that has nothing new
LONGEST_PAUSE = 5.0  # seconds between two attempts while the database is away
TIDY_EVERY = 5.0  # seconds between deletions of what is stored or too old
TIDY_LOGINS = 10_000  # rows deleted at a time

Item = tuple[Record | Gap, Position]


class Stop(Protocol):
    """Says when to end."""

    def is_set(self) -> bool:
        """Whether to end now."""

    def wait(self, timeout: float, /) -> bool:
        """Sleep, at most until the end is wanted."""


class Unfit(Exception):
    """These records cannot be stored, however often it is tried."""


class Moved(Exception):
    """Somebody else moved the offset since it was read: nothing may be stored, it is to be read again."""


class Ingest:
    """Reads one journal into one database."""

    def __init__(
        self, folder: Path, node: UUID, engine: Engine, vault: Vault, stop: Stop, tidy_every: float = TIDY_EVERY
    ) -> None:
        self._folder, self._node, self._engine, self._vault, self._stop = folder, node, engine, vault, stop
        self._tidy_every = tidy_every
        self._stored: Position | None = None
        "The offset in the table, as far as known; None: to be read."
        self._position = START
        "Behind the last record that was taken out."
        self._reader: Iterator[Item] = iter(())
        self._tidied_at = time.monotonic()

    def run(self) -> None:
        """Read until stopped; the batch in hand is stored first."""
        pause = 0.2
        while not self._stop.is_set():
            try:
                self._step()
                pause = 0.2
            except PositionAhead as error:
                alarm("journal_lost", node=str(self._node), error=str(error))
                self._go_to(START)
            except ForeignSegment as error:
                self._pass_foreign(error)
            except JournalError:
                raise
            except Exception as error:
                if isinstance(error, SQLAlchemyError):
                    logger().warning("database.away", error=str(error).partition("\n")[0])
                else:
                    alarm("ingest_failed")
                self._stored = None
                self._stop.wait(pause)
                pause = min(LONGEST_PAUSE, pause * 2)

    def _step(self) -> None:
        if self._stored is None:
            with transaction(self._engine) as tx:
                self._stored = self._offset(tx)
            self._go_to(self._stored)
        items = self._gather()
        if items:
            self._store(items)
        self._tidy()

    def _gather(self) -> list[Item]:
        """Up to BATCH records, or those of GATHER seconds; none after IDLE seconds without any."""
        items: list[Item] = []
        self._take(items)
        until = time.monotonic() + (GATHER if items else IDLE)
        while len(items) < BATCH and not self._stop.is_set() and (left := until - time.monotonic()) > 0:
            self._stop.wait(min(IDLE, left))
            self._take(items)
        return items

    def _take(self, items: list[Item]) -> None:
        """Take out what is there now."""
        try:
            for item in self._reader:
                items.append(item)
                self._position = item[1]
                if len(items) >= BATCH:
                    return
            self._reader = read(self._folder, self._position)
        except JournalError:
            self._reader = read(self._folder, self._position)
            if not items:  # else it comes again when these are stored
                raise

    def _store(self, items: Sequence[Item]) -> None:
        """Store records; among those that cannot be stored the one at fault is found by halving, and skipped."""
        try:
            with transaction(self._engine) as tx:
                self._claim(tx, items[-1][1])
                _write(tx, [item for item, _ in items], load_business(tx, self._vault).zone)
        except Unfit as error:
            if len(items) == 1:
                self._skip(items[0], error)
            else:
                middle = len(items) // 2
                self._store(items[:middle])
                self._store(items[middle:])
        else:
            self._stored = items[-1][1]
            _report_gaps(items)

    def _skip(self, skipped: Item, error: Unfit) -> None:
        item, position = skipped
        raw = f"{item.kind.name} {item.at_us} {item.payload.hex()}" if isinstance(item, Record) else repr(item)
        alarm("record_skipped", reason=str(error), node=str(self._node), position=tuple(position), raw=raw)
        with transaction(self._engine) as tx:
            self._claim(tx, position)
            add_drops(tx, {("record_skipped", NOBODY): (1, clock.now())})
        self._stored = position

    def _claim(self, tx: Connection, position: Position) -> None:
        """Move the offset in this transaction, which must begin where the last one ended."""
        if self._offset(tx) != self._stored:
            raise Moved
        row = {"segment": position.segment, "offset": position.offset}
        statement = insert(journal_offset).values(node_id=self._node, **row)
        tx.execute(statement.on_conflict_do_update(index_elements=["node_id"], set_=row))

    def _offset(self, tx: Connection) -> Position:
        query = select(journal_offset.c.segment, journal_offset.c.offset).where(journal_offset.c.node_id == self._node)
        row = tx.execute(query.with_for_update()).one_or_none()
        return START if row is None else Position(*row)

    def _go_to(self, position: Position) -> None:
        self._position = position
        self._reader = read(self._folder, position)

    def _pass_foreign(self, error: ForeignSegment) -> None:
        """Go on with the next segment that this node wrote; its own newest is always there."""
        alarm("journal_of_another_node", node=str(self._node), error=str(error))
        for number in list_segments(self._folder):
            if number > self._position.segment:
                with segment_path(self._folder, number).open("rb") as file:
                    if decode_header(file.read(HEADER_SIZE)) == (self._node, number):
                        return self._go_to(Position(number, 0))
        self._stop.wait(LONGEST_PAUSE)
        return None

    def _tidy(self) -> None:
        """Now and then: delete the segments that are stored, and rows that are too old."""
        if time.monotonic() - self._tidied_at < self._tidy_every or self._stored is None:
            return
        self._tidied_at = time.monotonic()
        delete_before(self._folder, self._stored)
        with transaction(self._engine) as tx:
            prune(tx, TIDY_LOGINS)


class Signals:
    """SIGTERM and SIGINT, looked at when there is time: no handler interrupts a transaction.

    Each look is a turn of the loop, and so a sign of life.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._set = False
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))

    def is_set(self) -> bool:
        """Whether one came."""
        return self.wait(0)

    def wait(self, seconds: float) -> bool:
        """Sleep until one comes, or it came already."""
        pulse.beat(self._data_dir, "ingest")
        self._set = self._set or signal.sigtimedwait((signal.SIGTERM, signal.SIGINT), seconds) is not None
        return self._set


def run(config: Settings) -> None:
    """Ingest the journal of this node until SIGTERM or SIGINT."""
    stop = Signals(config.data_dir)
    folder = config.data_dir / "radius" / "journal"
    engine = connect(address(config), pool_size=1)
    node = _await_node(folder, stop)
    if node is not None:
        with closing(take_lock(folder, "reader")):
            logger().info("ingest.ready", node=str(node))
            Ingest(folder, node, engine, open_vault(config.secret_keys), stop).run()
    engine.dispose()


def _await_node(folder: Path, stop: Stop) -> UUID | None:
    """The id of the node that writes here, as soon as it has started for the first time."""
    while True:
        try:
            return read_node_id(folder)
        except NoJournal:
            if stop.wait(0.2):
                return None


def _write(tx: Connection, items: Sequence[Record | Gap], zone: ZoneInfo) -> None:
    """Store, and say Unfit where the fault lies in the data, or in how we understand it."""
    try:
        store(tx, items, zone)
    except (DataError, IntegrityError) as error:
        raise Unfit(str(error.orig).partition("\n")[0]) from error
    except (SQLAlchemyError, JournalError):
        raise
    except Exception as error:
        raise Unfit(repr(error)) from error


def _report_gaps(items: Sequence[Item]) -> None:
    for item, _ in items:
        if isinstance(item, Gap):
            facts = {"begin": tuple(item.begin), "bytes": item.left_out, "meaning": item.cause.value}
            if item.cause.loses_acknowledged:
                alarm(f"journal_{item.cause.name.lower()}", **facts)
            else:
                logger().warning(f"journal.{item.cause.name.lower()}", **facts)
