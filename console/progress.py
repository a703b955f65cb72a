"""A bar for work that takes long; where nobody watches (a pipe, a log) only its label is printed."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import click


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """What to tell how far the work is: `done` of how many. Goes to standard error, as it is not the answer."""
    with ExitStack() as stack:
        bar: Any = None

        def tell(done: int, of: int) -> None:
            nonlocal bar
            if bar is None:
                bar = stack.enter_context(click.progressbar(length=of, label=label, file=sys.stderr))
            bar.update(done - bar.pos)

        yield tell
