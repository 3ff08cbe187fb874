"""Being asked to stop: by SIGTERM, as a cluster does before it takes a machine away, or by Ctrl-C."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
_ALARM = getattr(signal, "SIGALRM", None)
_AGAIN, _LONG = 0.2, 5.0  # seconds
_DEFAULTS = (signal.SIG_DFL, signal.default_int_handler)


class Stopped(KeyboardInterrupt):
    """Ctrl-C, or another signal that asks a command to end, with its number."""

    def __init__(self, number: int):
        super().__init__()
        self.number = number


def end_at_once() -> None:
    """Until `interruptible`, Ctrl-C ends the process without a word: modules are imported, and nothing is written."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def _end(number, _frame):
    os._exit(128 + number)  # an exception could be lost in a callback of what is imported


@contextmanager
def interruptible() -> Iterator[None]:
    """Inside, Ctrl-C, SIGTERM and a closed terminal raise Stopped, so that what is half-written is removed.

    A signal that the process was told to ignore, as by nohup, stays ignored. One that comes while another is on its
    way is late, unless that takes long. One that gets lost, in a callback or where a library catches all, is raised
    again.
    """
    asked: list[tuple[int, float]] = []
    before, hook = {}, sys.unraisablehook

    def stop(number, _frame):
        if number != _ALARM:
            asked.append((number, time.monotonic()))
        if _on_its_way() and time.monotonic() - asked[0][1] < _LONG:
            return
        if _ALARM:
            signal.setitimer(signal.ITIMER_REAL, _AGAIN, _AGAIN)
        raise Stopped(asked[0][0])

    if threading.current_thread() is threading.main_thread():
        ours = [number for number in _ENDING if signal.getsignal(number) in (*_DEFAULTS, _end)]
        before = {number: signal.signal(number, stop) for number in (*ours, *([_ALARM] if _ALARM else []))}
        sys.unraisablehook = lambda lost: None if isinstance(lost.exc_value, Stopped) else hook(lost)
    try:
        yield
    finally:
        if before and _ALARM:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if asked else handler)  # the process is about to end
        sys.unraisablehook = hook


def stopping(error: BaseException | None) -> KeyboardInterrupt | None:
    """The request to stop that led to an error, perhaps as another: some libraries raise their own for it."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error


def _on_its_way() -> bool:
    """Whether the code that a signal interrupts runs because of an earlier one: it tidies up."""
    return stopping(sys.exc_info()[1]) is not None


@contextmanager
def held_back() -> Iterator[None]:
    """Ctrl-C waits until the end of the block; processes started inside never get it, nor do theirs."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """An event set by SIGTERM or Ctrl-C, so that a run ends between two steps; a second one ends it at once."""
    stop, before = threading.Event(), {}

    def handle(number, _frame):
        if stop.is_set():
            raise Stopped(number)
        stop.set()

    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
