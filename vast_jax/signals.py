"""Being asked to stop: by SIGTERM, as a cluster does before it takes a machine away, or by Ctrl-C."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """An event set by SIGTERM or Ctrl-C, so that a run ends between two steps; a second one ends it at once."""
    stop, before = threading.Event(), {}

    def handle(number, _frame):
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
