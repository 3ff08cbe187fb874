"""What every command shares: typed options, and bad input that ends in one line and exit code 2."""

import contextlib
import io
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import tyro

from vast_jax.errors import UserError

T = TypeVar("T")
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
    """UserError where an output file has the wrong kind of name, or is there already and not to be overwritten."""
    if path.suffix.lower() not in suffixes:
        raise UserError(f"{path}: the output must end in {' or '.join(suffixes)}")
    if path.is_dir() or (path.exists() and not force):
        raise UserError(f"{path}: exists already; choose another name or pass --force")


def run(main: Callable[[], object]) -> None:
    """Runs a command's main function; a UserError becomes its one line and exit code 2, Ctrl-C exit code 130.

    So do weights that the model has no place for, as those that an older version exported.
    """
    try:
        main()
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if type(error).__name__ not in _MISFITS:  # told by name: flax takes long to import
            raise
        said = str(error).split(" (http")[0]
        print(f"error: weights that do not fit this version's model, export them again ({said})", file=sys.stderr)
        sys.exit(2)
