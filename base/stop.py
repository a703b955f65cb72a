"""How a process learns that it is to end, and waits for that without ever waiting for itself."""

import contextlib
import signal
from queue import Empty, SimpleQueue


class Stop:
    """A wish to end, made by a signal; one thread waits for it, the main one.

    A threading.Event will not do: its lock is not reentrant, so a handler that interrupts `wait` at the wrong moment
    waits for itself for ever. Putting into a SimpleQueue is reentrant (library reference, queue).
    """

    def __init__(self) -> None:
        self._wished = False
        self._bell: SimpleQueue[None] = SimpleQueue()

    def set(self) -> None:
        """Wish it; harmless again."""
        self._wished = True
        self._bell.put(None)

    def is_set(self) -> bool:
        """Whether somebody has wished it."""
        return self._wished

    def wait(self, seconds: float | None = None) -> bool:
        """Return once it is wished, or after `seconds`; says whether it is."""
        if not self._wished:
            with contextlib.suppress(Empty):
                self._bell.get(timeout=seconds)
        return self._wished


def stop_at(*signals: signal.Signals) -> Stop:
    """What these signals set from now on; call it in the main thread."""
    stop = Stop()
    for number in signals:
        signal.signal(number, lambda *_: stop.set())
    return stop
