"""The coa process: it leads or stands by, looks when a bell rings, sweeps now and then, and ends in time."""

import asyncio
import resource
import signal
from collections.abc import Awaitable, Callable

from sqlalchemy.exc import SQLAlchemyError

from base import pulse
from base.crypto import open_vault
from base.database import address, connect
from base.log import alarm, logger
from base.settings import Settings
from coa.client import Client
from coa.listener import Listener
from coa.reconcile import Reconciler

SWEEP = 5.0  # seconds between looks that need no bell
RETRY = 0.5  # seconds until the next look after one that failed
PATIENCE = 0.7  # seconds that an answer may take when the process is to end, and again for keeping it


def run(config: Settings) -> None:
    """Reconcile until SIGTERM or SIGINT."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # every device has source ports of its own
    asyncio.run(_serve(config))


async def _serve(config: Settings) -> None:
    loop = asyncio.get_running_loop()
    stop, bell = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    vault = open_vault(config.secret_keys)
    engine = connect(address(config))
    listener = Listener(engine, lambda: loop.call_soon_threadsafe(bell.set))
    client = Client(config.coa_host, allowed=lambda: listener.leads)
    reconciler = Reconciler(engine, vault, client, lambda: listener.leads and not stop.is_set())
    listener.start()
    sweeping = asyncio.create_task(_sweep(reconciler, listener))
    logger().info("coa.ready")
    while not stop.is_set():
        pulse.beat(config.data_dir, "coa")
        bell.clear()
        done = not listener.leads or await _try(reconciler.look)  # the bell rings when this process may lead
        waiting = [asyncio.create_task(event.wait()) for event in (bell, stop)]
        await asyncio.wait(waiting, timeout=SWEEP if done else RETRY, return_when=asyncio.FIRST_COMPLETED)
        for each in waiting:
            each.cancel()
    sweeping.cancel()
    await reconciler.finish(PATIENCE)
    client.give_up()
    await reconciler.finish(PATIENCE)
    listener.stop()
    client.close()


async def _sweep(reconciler: Reconciler, listener: Listener) -> None:
    while True:
        await asyncio.sleep(SWEEP)
        if listener.leads:
            await _try(reconciler.sweep)


async def _try(act: Callable[[], Awaitable[None]]) -> bool:
    try:
        await act()
    except SQLAlchemyError as error:
        logger().warning("database.away", error=str(error).partition("\n")[0])
    except Exception:
        alarm("coa_failed")
    else:
        return True
    return False
