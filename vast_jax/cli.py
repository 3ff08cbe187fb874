"""What every command shares: typed options, and bad input that ends in one line and exit code 2."""

import contextlib
import errno
import gc
import io
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import tyro

from vast_jax.errors import Unwritable, UserError
from vast_jax.files import check_writable, full
from vast_jax.signals import Stopped, interruptible, stopping

T = TypeVar("T")
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.ENOTDIR)
_MISFITS = ("ScopeParamShapeError", "ScopeParamNotFoundError")  # of flax.errors


def parse(kind: type[T], argv: list[str] | None = None, *, prog: str, default: T | None = None) -> T:
    """Reads command-line options into a dataclass. Raises UserError for an unknown option or a bad value."""
    options = {} if default is None else {"default": default}
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(kind, args=sys.argv[1:] if argv is None else argv, prog=prog, **options)
    except SystemExit as stop:
        if stop.code in (0, None):  # --help
            raise
    # tyro draws its message as a box: its first lines, up to the ruler, say what was wrong
    lines = [re.sub(r"[╭╮╰╯│─]", " ", line).strip() for line in said.getvalue().splitlines()]
    words = " ".join(lines[1 : lines.index("", 1)] if "" in lines[1:] else lines[1:])
    raise UserError(f"{words}; see {prog} --help")


def check_output(path: Path, suffixes: tuple[str, ...], force: bool) -> None:
    """UserError where an output file has the wrong kind of name, or is there already and not to be overwritten.

    Unwritable where it could not be written: said before the work, not after.
    """
    if path.suffix.lower() not in suffixes:
        raise UserError(f"{path}: the output must end in {' or '.join(suffixes)}")
    if path.is_dir() or (path.exists() and not force):
        raise UserError(f"{path}: exists already; choose another name or pass --force")
    check_writable(path.parent)


def run(main: Callable[[], object]) -> None:
    """Runs a command's main function; a UserError becomes its one line and exit code 2, Ctrl-C exit code 130.

    So do a disk without room, a place that may not be written, and weights that the model has no place for, as those
    that an older version exported. SIGTERM and a closed terminal end a command as Ctrl-C does, with 143 and 129.
    Standard output that nobody reads any more ends it without a word, with 141.
    """
    try:
        with interruptible():
            _flushed(main)
        return
    except SystemExit:
        raise
    except BaseException as error:
        stop = stopping(error)
        code, at_once = _told(error, stop), isinstance(stop, Stopped)
        if code is None:
            raise
        del stop
    _leave(code, at_once)


def _told(error: BaseException, stop: KeyboardInterrupt | None) -> int | None:
    """Says what ended a command; its exit code, None for what is a bug."""
    if stop is not None:
        _say(": ".join(("stopped", *map(str, stop.args))))
        return 128 + getattr(stop, "number", signal.SIGINT)
    if isinstance(error, BrokenPipeError):
        return 128 + 13  # as of a process that SIGPIPE ends; Windows has no such signal
    said = _in_words(error)
    if said is None:
        return None
    _say(f"error: {' '.join(said.split())}")
    return 2


def _flushed(main: Callable[[], object]) -> None:
    """What is printed last fails here, where it is caught, not as the interpreter ends."""
    try:
        main()
    except SystemExit:  # --help
        _flush()
        raise
    _flush()


def _flush() -> None:
    if sys.stdout is not None:
        sys.stdout.flush()


def _in_words(error: BaseException) -> str | None:
    """The line for an error that is nobody's bug; None for others."""
    if isinstance(error, UserError):
        return str(error)
    if (number := full(error)) is not None:
        place = getattr(error, "filename2", None) or getattr(error, "filename", None) or "what it writes"
        return str(Unwritable(number, os.strerror(number), place))
    if isinstance(error, OSError) and error.errno in _FORBIDDEN and error.filename is not None:
        return f"{error.filename} cannot be used ({error.strerror}): choose another place"
    if type(error).__name__ in _MISFITS:  # told by name: flax takes long to import
        said = str(error).split(" (http")[0]
        return f"weights that do not fit this version's model, export them again ({said})"
    return None


def _say(line: str) -> None:
    with contextlib.suppress(OSError):  # nobody reads it: the terminal is gone
        print(line, file=sys.stderr, flush=True)


def _leave(code: int, at_once: bool) -> None:
    """Ends the process; at once: without waiting for its threads, of which one may compile for a while."""
    try:
        _flush()
    except OSError:  # else the interpreter says so as it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if at_once:
        gc.collect()  # what the error kept alive is tidied up, such as a generator's processes
        if "multiprocessing.util" in sys.modules:
            sys.modules["multiprocessing.util"]._run_finalizers(0)  # else its tracker tells of semaphores left
        os._exit(code)
    sys.exit(code)
