"""Videos and sound in: 25 frames a second of any source, streaming, in step with its sound."""

import os
import re
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vast_jax.audio import FPS
from vast_jax.media.ffmpeg import AUDIO_FILTER, ffmpeg_command, header_of, input_of, last_line, started
from vast_jax.types import Segment, Source, UserError

VIDEO_SUFFIXES = frozenset((".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".webm", ".wmv"))
_LEAST_RATE = 4000  # Hz of sound in which speech can be heard; telephones have 8000
# The container's clock: a stream that starts late is padded, so sound and picture keep in step.
_VIDEO_CLOCK = f"fps={FPS}:start_time=0"
_LEAD = 0.5 / FPS  # seconds: a frame that begins so little before a segment is its first
_AU_HEADER = 24  # bytes, without the annotation that may follow


class VideoInfo(NamedTuple):
    """What a file's header says, as displayed (rotation applied)."""

    width: int  # pixels
    height: int  # pixels
    fps: float  # of the source
    frames: int | None  # expected at 25 fps, from the duration: an estimate for progress bars
    duration: float | None  # seconds
    has_audio: bool
    rotation: int  # degrees, 0, 90, 180 or 270, already applied to width and height
    stretched: bool  # whether the stored pixels are not square; they are in width and height


def probe(path: Source) -> VideoInfo:
    """Reads a video's header. UserError: missing, empty, unreadable, no picture, or it ends before its segment."""
    header = header_of(path)
    video = re.search(r"Stream #.*?: Video: (?!.*attached pic).*", header)  # a picture of a song's cover is no video
    size = video and re.search(r"[ ,](\d{2,5})x(\d{2,5})(?: \[SAR (\d+):(\d+))?", video[0])
    if not video or not size:
        raise UserError(f"{path} has no video track: give a video file")
    width, height = int(size[1]), int(size[2])
    stretched = bool(size[3] and int(size[3]) and int(size[4])) and size[3] != size[4]
    if stretched:
        width = round(width * int(size[3]) / int(size[4]))
    turn = re.search(r"rotation of (-?[\d.]+) degrees", header)
    rotation = round(float(turn[1]) / 90) * 90 % 360 if turn else 0
    if rotation in (90, 270):
        width, height = height, width
    rate = re.search(r"([\d.]+) fps", video[0]) or re.search(r"([\d.]+) tbr", video[0])
    clock = re.search(r"Duration: (\d+):(\d+):([\d.]+)", header)
    duration = int(clock[1]) * 3600 + int(clock[2]) * 60 + float(clock[3]) if clock else None
    if isinstance(path, Segment) and duration:
        if path.start >= duration:
            raise UserError(f"{path}: the file ends at {duration:.2f} s; is it the one that the list is for?")
        duration = min(path.stop, duration) - path.start
    frames = round(duration * FPS) if duration else None
    has_audio = "Audio:" in header
    return VideoInfo(width, height, float(rate[1]) if rate else FPS, frames, duration, has_audio, rotation, stretched)


def videos_in(folder: str | os.PathLike) -> dict[str, Path]:
    """A folder's videos by file name without suffix. UserError: no such folder, no video, or two of one name."""
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give one of videos")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file():
            if path.stem in found:
                raise UserError(f"{path}: {found[path.stem].name} has the same name; keep one of them")
            found[path.stem] = path
    if not found:
        raise UserError(f"{folder}: no video in it")
    return found


def read_frames(
    path: Source, longest: int | None = None, region: tuple[int, int, int, int] | None = None
) -> Iterator[np.ndarray]:
    """Streams a video's frames at exactly 25 fps in constant memory, rotation applied, pixels made square.

    longest: pixels; a video whose longer side exceeds it is reduced to it. region: (left, top, width, height), whole
    pixels inside the picture: only this part is read, in full size. Yields uint8 [H, W, 3] RGB.
    UserError: missing, empty, unreadable, or not one frame.
    """
    lead = min(_LEAD, path.start) if isinstance(path, Segment) else 0
    pictures = f"setpts=PTS-{lead}/TB," if lead else ""
    pictures += f"{_VIDEO_CLOCK},{_video_filter(probe(path), longest, region)}"
    command = ffmpeg_command(*input_of(path, lead), "-map", "0:V:0", "-vf", pictures)
    if isinstance(path, Segment):  # at other rates the last frame may be held for one more
        command += ["-frames:v", str(round((path.stop - path.start) * FPS))]
    command += ["-f", "image2pipe", "-c:v", "ppm", "-pix_fmt", "rgb24", "pipe:1"]
    with tempfile.TemporaryFile() as log:
        process, pipe = started(command, log, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        count = 0
        try:
            while (frame := _read_ppm(pipe)) is not None:
                count += 1
                yield frame
            process.wait()
        finally:  # also when the reader stops early
            pipe.close()
            process.kill()
            process.wait()
        if not count:
            raise UserError(f"cannot read {path} as a video ({last_line(log)}): is it complete?")


def _video_filter(info: VideoInfo, longest: int | None, region: tuple[int, int, int, int] | None) -> str:
    """Frames are cut out, then scaled: what is not wanted costs nothing."""
    shrink = min(1.0, (longest or np.inf) / max(info.width, info.height))
    width, height = (max(round(shrink * side), 1) for side in info[:2])
    scale = f"scale={width}:{height}:flags={'area' if shrink < 1 else 'bicubic'},setsar=1"
    if not region:
        return scale
    crop = "crop={2}:{3}:{0}:{1}:exact=1".format(*region)
    return f"{scale},{crop}" if info.stretched else f"{crop},setsar=1"


class Sound(NamedTuple):
    """A recording that stays in its file: of so many samples at its own rate."""

    path: Path
    samples: int
    rate: int  # Hz


def sound_of(path: str | os.PathLike) -> Sound:
    """How long the sound of a file is, decoded to its end in constant memory. UserError as `read_speech`."""
    blocks = _decoded(path)
    first = next(blocks)
    start, rate, channels = _au_header(first)
    size = len(first) - start + sum(map(len, blocks))
    return Sound(Path(path), size // (4 * channels), rate)


def read_speech(path: Source, rate: int = 16000, seconds: float | None = None) -> np.ndarray:
    """The sound of any audio or video file: float32 [n] mono in [-1, 1] at `rate` Hz.

    seconds: only so much of it from the start. UserError: missing, empty, unreadable, or without an audio track.
    """
    return _read_audio(path, "-ac", "1", "-ar", str(rate), *_until(seconds))[0][:, 0]


def native_audio(path: Source, seconds: float | None = None) -> tuple[np.ndarray, int]:
    """The sound as recorded, or its first `seconds`: (float32 [n, channels] in [-1, 1], sample rate in Hz).

    UserError as `read_speech`.
    """
    return _read_audio(path, *_until(seconds))


def _until(seconds: float | None) -> list[str]:
    return [] if seconds is None else ["-t", str(seconds)]


def _read_audio(path: Source, *options: str) -> tuple[np.ndarray, int]:
    """(float32 [n, channels], rate)."""
    data = bytearray()
    for block in _decoded(path, *options):
        data += block
    start, rate, channels = _au_header(data)
    count = (len(data) - start) // (4 * channels) * channels
    samples = np.frombuffer(data, ">f4", count, start)  # and on in place: ten minutes are 38 MB
    samples = samples.byteswap(inplace=True).view(np.float32)
    return np.clip(samples, -1, 1, out=samples).reshape(-1, channels), rate


def _decoded(path: Source, *options: str) -> Iterator[bytes]:
    """A file's sound in the AU format, whose header is in the first block. UserError: not a sample follows it."""
    command, first, size = _audio_command(path, *options), b"", 0
    with tempfile.TemporaryFile() as log:
        process, pipe = started(command, log, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        with process:
            while block := pipe.read(1 << 20):
                first, size = first or block, size + len(block)
                yield block
        start, _, channels = _au_header(first)
        if size < start + 4 * channels:
            raise UserError(f"cannot read the sound of {path} ({last_line(log, 'no samples in it')}): is it complete?")


def _audio_command(path: Source, *options: str) -> list[str]:
    """ffmpeg's, that decodes a file's sound in the AU format, whose header survives a pipe."""
    header = header_of(path)
    if "Audio:" not in header:
        raise UserError(f"{path} has no audio track: give a file with sound")
    rate = re.search(r"Audio: .*?\b(\d+) Hz", header)
    if rate and int(rate[1]) < _LEAST_RATE:  # by a damaged header a second can last for hours
        raise UserError(f"the sound of {path} has {rate[1]} samples a second, too few for speech: export it again")
    command = ffmpeg_command(*input_of(path), "-map", "0:a:0", "-vn", "-af", AUDIO_FILTER, *options)
    return [*command, "-c:a", "pcm_f32be", "-f", "au", "pipe:1"]


def _au_header(data: bytes | bytearray) -> tuple[int, int, int]:
    """Where the samples start, their rate and how many channels they have; of nothing, that nothing follows."""
    if len(data) < _AU_HEADER:
        return _AU_HEADER, 0, 1
    start, _, _, rate, channels = struct.unpack_from(">5I", data, 4)
    return start, rate, channels


def _read_ppm(pipe) -> np.ndarray | None:
    """The next binary PPM image uint8 [H, W, 3] of a stream; None at its end or when it is cut short."""
    if not pipe.readline().startswith(b"P6"):
        return None
    width, height = map(int, pipe.readline().split())
    pipe.readline()  # 255
    data = pipe.read(width * height * 3)
    return np.frombuffer(data, np.uint8).reshape(height, width, 3) if len(data) == width * height * 3 else None
