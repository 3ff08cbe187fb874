"""What every command shares: typed options, and bad input that ends in one line and exit code 2."""

import contextlib
import dataclasses
import difflib
import errno
import functools
import gc
import inspect
import io
import itertools
import os
import re
import runpy
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import platformdirs
import tyro

from vast_jax import __version__
from vast_jax.errors import Unwritable, UserError
from vast_jax.files import check_writable, full
from vast_jax.signals import Stopped, interruptible, stopping

T = TypeVar("T")
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.ENOTDIR)
_MISFITS = ("ScopeParamShapeError", "ScopeParamNotFoundError")  # of flax.errors


def parse(
    kind: Callable[..., T],
    argv: Sequence[str] | None = None,
    *,
    prog: str,
    description: str | None = None,
    config: Sequence[Any] = (),
) -> T:
    """Reads command-line options into a dataclass, or the arguments of a function.

    Dataclasses that a dataclass inherits from are groups of its options, each with its docstring in the help.
    `--version` tells the version and ends.

    Args:
        kind: the dataclass, a union of them (one for each subcommand), or the function.
        argv: the words after the command's name; None: those of this process.
        prog: the command's name where `argv` is given; else the one that was typed.
        description: of the help; None: the docstring of `kind`.
        config: tyro's markers.

    Raises:
        UserError: in one line, an unknown option (with the one that was meant), a bad value or a missing one.
    """
    if argv is None:
        argv, prog = sys.argv[1:], typed_name()
    tell_version(argv)
    options: dict[str, Any] = {"prog": prog, "description": description, "config": config}
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parsed, unknown = tyro.cli(_grouped(kind), args=argv, return_unknown_args=True, **options)
    except SystemExit as stop:
        if stop.code in (0, None):  # --help
            raise
        unknown = [word for word in argv if word.startswith("--")]
    else:
        if not unknown:
            return parsed
    words = _mistyped(unknown, functools.partial(_flags, _grouped(kind), argv, options)) or _first_words(
        said.getvalue()
    )
    raise UserError(f"{words or f'{unknown[0]!r} is one word too many'} (all options: {prog} --help)")


def tell_version(argv: Sequence[str]) -> None:
    """Tells the version and ends, if asked."""
    if "--version" in argv:
        print(f"vast_jax {__version__}")
        sys.exit()


def typed_name() -> str:
    """How this process was called: "python infer.py", "python -m vast_jax.hear", or a script's name, "vast-hear"."""
    script, spec = Path(sys.argv[0]), getattr(sys.modules["__main__"], "__spec__", None)
    if spec is not None and spec.name != "__main__":
        return f"python -m {spec.name.removesuffix('.__main__')}"
    return f"python {script}" if script.suffix == ".py" else script.stem


def _grouped(kind: Callable[..., T]) -> Callable[..., T]:
    """A dataclass as a function of the dataclasses it inherits from, which tyro's help shows as groups."""
    bases: tuple[type, ...] = getattr(kind, "__bases__", ())
    groups = [base for base in bases if dataclasses.is_dataclass(base)]
    own = dataclasses.fields(kind) if groups and dataclasses.is_dataclass(kind) else ()
    if not own or len(own) != sum(len(dataclasses.fields(group)) for group in groups):
        return kind

    def command(**given):
        return kind(**{name: value for group in given.values() for name, value in vars(group).items()})

    command.__doc__, command.__annotations__ = kind.__doc__, {"return": kind}
    flat: Any = tyro.conf.OmitArgPrefixes  # a type alias by its stubs, which takes no types made at run time
    kinds = {group.__name__.lower(): flat[group] for group in groups}
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter(name, keyword, annotation=group) for name, group in kinds.items()]
    signature = inspect.Signature(parameters, return_annotation=kind)
    command.__signature__ = signature  # type: ignore[attr-defined]  # inspect heeds it, typeshed does not know it
    command.__annotations__ |= kinds
    return command


def _flags(kind: Callable, argv: Sequence[str], options: Mapping[str, Any]) -> list[str]:
    """All options of a command, or of the subcommand that `argv` begins with, as its help has them."""
    told = io.StringIO()
    for first in ([word for word in argv[:1] if not word.startswith("-")], []):
        with (
            contextlib.suppress(SystemExit),
            contextlib.redirect_stdout(told),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            tyro.cli(kind, args=[*first, "--help"], **options)
    return [*dict.fromkeys(re.findall(r"--[a-z][\w.-]*", told.getvalue())), "--version"]


def _mistyped(words: Sequence[str], flags: Callable[[], Sequence[str]]) -> str | None:
    """A sentence about the first of some words that is no option; None if all are."""
    given = [word.split("=")[0].replace("_", "-") for word in words if word.startswith("-")]
    known = flags() if given else ()
    for word in given:
        if word not in known:
            near = difflib.get_close_matches(word, known, n=2, cutoff=0.7)
            return f"unknown option {word}" + (f", did you mean {' or '.join(near)}?" if near else "")
    return None


def _first_words(box: str) -> str:
    """What a boxed message of tyro says: its first paragraph, or the names of what is missing."""
    lines = [re.sub(r"\x1b\[[0-9;]*m|[╭╮╰╯│─┌┐└┘|+]|-{3,}", " ", line).rstrip() for line in box.splitlines()][1:]
    lines = list(itertools.takewhile(lambda line: "For full helptext" not in line, lines))
    if any("Missing from" in line for line in lines):
        named = [line.split()[0] for line in lines if re.match(r" {6}\S", line)]  # what explains a name lies further in
        return "missing: " + ", ".join(named)
    paragraph = itertools.takewhile(str.strip, itertools.dropwhile(lambda line: not line.strip(), lines))
    return " ".join(" ".join(paragraph).split())


def moved(module: str) -> None:
    """Runs a command under the name that it had before, and names the one that it has now."""
    print(f"note    this command is now: python -m {module}", file=sys.stderr)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def use_compilation_cache() -> None:
    """Keeps compiled XLA programs in the user's cache folder, so that a command's next start is quick."""
    import jax  # which takes long to import, and most of what this file does needs none

    # JAX_COMPILATION_CACHE_DIR has the first word
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]  # JAX adds its options as it starts
        jax.config.update("jax_compilation_cache_dir", str(platformdirs.user_cache_path("vast_jax") / "xla"))


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
