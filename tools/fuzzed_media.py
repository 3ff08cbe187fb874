"""Ways to damage a recording, each a function (whole files, path without suffix, rng) -> the damaged file."""

import random
import struct
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import imageio_ffmpeg
import numpy as np

from vast_jax import media
from vast_jax.face.model import load_face_model
from vast_jax.generation.head_avatar import HeadAvatar
from vast_jax.generation.performance import Performance

SECONDS = 1.2
_VIDEO = {  # suffix: codecs
    ".mp4": ("libx264", "aac"),
    ".mkv": ("libx264", "flac"),
    ".avi": ("mjpeg", "pcm_s16le"),
    ".mpg": ("mpeg1video", "mp2"),
    ".webm": ("libvpx", "libopus"),
    ".mov": ("mpeg4", "aac"),
}
_SOUND = {".wav": "pcm_s16le", ".flac": "flac", ".mp3": "libmp3lame", ".ogg": "libopus", ".m4a": "aac"}
_ODD_SIZES = ((1, 1), (2, 2), (17, 13), (16, 400), (640, 2), (3, 250))


def _ffmpeg(*words: str | Path) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-y", *map(str, words)]
    subprocess.run(command, check=True, timeout=120)


def originals(folder: Path, videos: Sequence[Path]) -> list[Path]:
    """A talking face of 1.2 s in every video container, and its sound in every sound container."""
    from vast_jax.infer import DEMO_SPEECH

    if not videos:
        head = HeadAvatar(load_face_model(), 256)
        rest = np.zeros((round(SECONDS * media.FPS), len(head.model.expression_names)), np.float32)
        rest[::5, head.model.expression_names.index("jawOpen")] = 0.5
        videos = [folder / "head.mp4"]
        media.write_video(videos[0], head.frames(Performance(rest, None)), head.size, media.sound_of(DEMO_SPEECH))
    made = []
    for i, (suffix, (picture, sound)) in enumerate(_VIDEO.items()):
        source = videos[i % len(videos)]
        made.append(folder / f"whole{suffix}")
        _ffmpeg(
            "-i", source, "-t", SECONDS, "-vf", "scale=256:-2", "-c:v", picture, "-c:a", sound, "-ar", 48000, made[-1]
        )
    for suffix, codec in _SOUND.items():
        made.append(folder / f"whole{suffix}")
        _ffmpeg("-i", DEMO_SPEECH, "-t", SECONDS, "-ac", 1, "-ar", 48000, "-c:a", codec, made[-1])
    return made


def _of_bytes(change: Callable[[bytearray, random.Random], bytes]):
    """A mutation of one whole file's bytes."""

    def mutate(whole: Sequence[Path], stem: Path, rng: random.Random) -> Path:
        source = rng.choice(whole)
        path = stem.with_suffix(source.suffix)
        path.write_bytes(change(bytearray(source.read_bytes()), rng))
        return path

    return mutate


def _flip(data: bytearray, rng: random.Random, low: int, high: int) -> bytes:
    for _ in range(rng.choice((1, 3, 10, 30, 100, 300))):
        data[rng.randrange(low, high)] ^= 1 << rng.randrange(8)
    return bytes(data)


def _stretch(data: bytearray, rng: random.Random) -> slice:
    start = rng.randrange(len(data))
    return slice(start, min(len(data), start + rng.randrange(1, len(data) // 2)))


def _overwritten(data: bytearray, rng: random.Random) -> bytes:
    at = _stretch(data, rng)
    data[at] = rng.choice((bytes, rng.randbytes))(at.stop - at.start)
    return bytes(data)


def _cut_out(data: bytearray, rng: random.Random) -> bytes:
    del data[_stretch(data, rng)]
    return bytes(data)


def _repeated(data: bytearray, rng: random.Random) -> bytes:
    at = _stretch(data, rng)
    return bytes(data[: at.stop] + data[at] + data[at.stop :])


def _number(data: bytearray, rng: random.Random) -> bytes:
    """A size, a count or a rate near the head or the tail says something else."""
    near = rng.randrange(min(len(data) - 4, 3000))
    at = rng.choice((near, len(data) - 4 - near))
    value = rng.choice((0, 1, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, rng.getrandbits(32)))
    data[at : at + 4] = struct.pack(rng.choice(("<I", ">I")), value)
    return bytes(data)


def _mixed(whole: Sequence[Path], stem: Path, rng: random.Random) -> Path:
    """The head of one container, the rest of another."""
    first, second = rng.sample(list(whole), 2)
    a, b = first.read_bytes(), second.read_bytes()
    path = stem.with_suffix(rng.choice((first, second)).suffix)
    path.write_bytes(a[: rng.randrange(8, len(a))] + b[rng.randrange(len(b)) :])
    return path


def _misnamed(whole: Sequence[Path], stem: Path, rng: random.Random) -> Path:
    first, second = rng.sample(list(whole), 2)
    path = stem.with_suffix(second.suffix)
    path.write_bytes(first.read_bytes())
    return path


def _nothing(whole: Sequence[Path], stem: Path, rng: random.Random) -> Path:
    path = stem.with_suffix(rng.choice(whole).suffix)
    path.write_bytes(rng.choice((b"", b"\0", b"\0" * 4096, rng.randbytes(rng.randrange(1, 5000)))))
    return path


def _playlist(whole: Sequence[Path], stem: Path, rng: random.Random) -> Path:
    """Text that some players take for a list of other files to open."""
    other, path = rng.choice(whole), stem.with_suffix(rng.choice(whole).suffix)
    lists = (
        f"ffconcat version 1.0\nfile {other.name}\n",
        f"ffconcat version 1.0\nfile {other}\n",
        f"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1.0,\n{other.as_uri()}\n#EXT-X-ENDLIST\n",
        "#EXTM3U\n#EXTINF:1.0,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
    )
    path.write_text(rng.choice(lists))
    return path


def _odd_size(whole: Sequence[Path], stem: Path, rng: random.Random) -> Path:
    width, height = rng.choice(_ODD_SIZES)
    path = stem.with_suffix(".mkv")
    scaled = f"scale={width}:{height}"
    _ffmpeg("-i", whole[0], "-vf", scaled, "-pix_fmt", "bgr0", "-c:v", "ffv1", "-c:a", "copy", path)
    return path


def _few_frames(whole: Sequence[Path], stem: Path, rng: random.Random) -> Path:
    path = stem.with_suffix(".mkv")
    wanted = rng.choice((("-an",), ("-vn",), ("-r", "1"), ("-r", "5"), ("-r", "240"), ("-frames:v", "1", "-shortest")))
    _ffmpeg("-i", whole[0], *wanted, path)
    return path


def _strange_sound(whole: Sequence[Path], stem: Path, rng: random.Random) -> Path:
    """A WAV file of a strange rate, number of channels, length, or of values that are no sound."""
    rate, channels = rng.choice((0, 1, 7, 8000, 16000, 192000, 0xFFFFFFFF)), rng.choice((0, 1, 2, 9, 255, 65535))
    values = rng.choice((np.zeros, np.ones))(rng.choice((0, 1, 100, 20000)), np.float32)
    values *= rng.choice((1, 1e-30, 1e30, np.inf, np.nan))
    body = values.tobytes()
    head = struct.pack("<HHIIHH", 3, channels, rate, (rate * channels * 4) & 0xFFFFFFFF, (4 * channels) & 0xFFFF, 32)
    stated = rng.choice((len(body), 0, 0xFFFFFFFF))
    riff = b"WAVEfmt " + struct.pack("<I", 16) + head + b"data" + struct.pack("<I", stated) + body
    path = stem.with_suffix(".wav")
    path.write_bytes(b"RIFF" + struct.pack("<I", len(riff)) + riff)
    return path


MUTATIONS: dict[str, Callable[[Sequence[Path], Path, random.Random], Path]] = {
    "bits": _of_bytes(lambda data, rng: _flip(data, rng, 0, len(data))),
    "bits of the head": _of_bytes(lambda data, rng: _flip(data, rng, 0, min(len(data), 1500))),
    "bits of the tail": _of_bytes(lambda data, rng: _flip(data, rng, max(0, len(data) - 2500), len(data))),
    "cut off": _of_bytes(lambda data, rng: bytes(data[: rng.randrange(len(data))])),
    "head cut off": _of_bytes(lambda data, rng: bytes(data[rng.randrange(1, len(data)) :])),
    "cut out": _of_bytes(_cut_out),
    "overwritten": _of_bytes(_overwritten),
    "repeated": _of_bytes(_repeated),
    "a number": _of_bytes(_number),
    "mixed containers": _mixed,
    "misnamed": _misnamed,
    "nothing": _nothing,
    "playlist": _playlist,
    "odd size": _odd_size,
    "few frames": _few_frames,
    "strange sound": _strange_sound,
}
