"""ffmpeg's command lines, and what it tells of a file, so that no file name or content can make it do more."""

import os
import re
import subprocess
from pathlib import Path
from typing import IO

import imageio_ffmpeg

from vast_jax.types import Segment, Source, UserError

_PLAYLIST = re.compile(r"^Input #0, (concat|hls|dash)\b", re.MULTILINE)  # what a stranger's text has us open
AUDIO_FILTER = "aresample=async=1:first_pts=0"


def file_of(source: Source) -> Path:
    """The file that a source is, or is a part of."""
    return source.path if isinstance(source, Segment) else Path(source)


def ffmpeg_command(*arguments) -> list[str]:
    """A command line of ffmpeg, which asks nothing and prints errors only; paths become URLs (`url_of`)."""
    options = ["-hide_banner", "-nostdin", "-loglevel", "error", "-y"]
    return [imageio_ffmpeg.get_ffmpeg_exe(), *options, *map(_argument, arguments)]


def input_of(source: Source, lead: float = 0) -> list[str]:
    """ffmpeg's options that open a source; it seeks to `lead` seconds before a segment, without decoding all before."""
    if not isinstance(source, Segment):
        return ["-i", url_of(source)]
    start = source.start - lead
    return ["-ss", f"{start:.3f}", "-t", f"{source.stop - start:.3f}", "-i", url_of(source.path)]


def started(
    command: list[str], log: IO[bytes], *, stdin: int | None = None, stdout: int | None = None
) -> tuple[subprocess.Popen[bytes], IO[bytes]]:
    """ffmpeg at work, its complaints in `log`; and the pipe to or from it, whichever of the two is one."""
    # The terminal's Ctrl-C is for us alone: an ffmpeg that it ended would seem to have come to its file's end.
    process = subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=log, process_group=0)
    pipe = process.stdin or process.stdout
    assert pipe is not None  # every caller asks for one
    return process, pipe


def _argument(value) -> str:
    return url_of(value) if isinstance(value, os.PathLike) else str(value)


def url_of(path: str | os.PathLike) -> str:
    """A file name that ffmpeg never takes for an option or a protocol."""
    return f"file:{os.fspath(path)}"


def require(path: str | os.PathLike) -> None:
    """UserError: no such file, or an empty one."""
    if not os.path.isfile(path):
        raise UserError(f"{path} does not exist or is not a file")
    if not os.path.getsize(path):
        raise UserError(f"{path} is empty")


def header_of(source: Source) -> str:
    """ffmpeg's description of a file. UserError: missing, empty, no video or audio file, or a list of others."""
    path = file_of(source)
    require(path)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostdin", "-i", url_of(path)]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    text = result.stderr.decode(errors="replace")
    if "Stream #" not in text:
        reason = (text.strip().splitlines() or ["unknown format"])[-1]
        raise UserError(f"cannot read {path} as video or audio ({reason.split('file:')[-1]})")
    if _PLAYLIST.search(text):
        raise UserError(f"{path} is a list of other files to play: give a video or audio file")
    return text


def last_line(log, otherwise: str = "no picture in it") -> str:
    """The last line that ffmpeg wrote to an open file."""
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines()
    return re.sub(r"\[[^\]]* @ 0x\w+\] ", "", lines[-1]) if lines else otherwise
