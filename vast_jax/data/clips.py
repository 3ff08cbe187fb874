"""A prepared clip: all but the pictures in memory, frames decoded on demand; and its form on disk while preparing."""

import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from PIL import Image

from vast_jax.audio import PHONES, SAMPLES_PER_FRAME
from vast_jax.files import atomic_path
from vast_jax.types import FaceTrack, UserError
from vast_jax.untrusted import read_npz, size_of

JPEG_QUALITY = 95
LARGEST_SIDE = 4096  # pixels
_LARGEST = 1 << 36  # bytes: pictures are read one by one, and an hour of footage has gigabytes of them
_OPEN_CORPORA = ("grid/",)  # whose licence (CC-BY 4.0) lets weights be used for anything
RESEARCH_ONLY = "research only: some training clips are research-only"  # the licence of weights that they taught
_ARRAYS, _PICTURES = "clip.npz", "frames.bin"


def encode_jpeg(image: np.ndarray) -> bytes:
    """[H,W,3] uint8 RGB to JPEG bytes, full chroma: lips are told from skin by colour."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "jpeg", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def decode_jpeg(encoded: bytes) -> np.ndarray:
    """JPEG bytes to [H,W,3] uint8 RGB. UserError: see `picture_size`."""
    with _jpeg(encoded) as picture:
        return np.asarray(picture.convert("RGB"))


def picture_size(encoded: bytes) -> tuple[int, int]:
    """Width and height of JPEG bytes, not decoded. UserError: no JPEG, damaged, or absurdly large."""
    with _jpeg(encoded) as picture:
        return picture.size


@contextmanager
def _jpeg(encoded: bytes) -> Iterator[Image.Image]:
    try:
        with Image.open(io.BytesIO(encoded), formats=("JPEG",)) as picture:
            if max(picture.size) > LARGEST_SIDE:
                raise UserError(f"a picture of {picture.size[0]} x {picture.size[1]} pixels is no frame of a clip")
            yield picture
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"a picture of the clip cannot be decoded ({error}): copy or export it again") from None


@dataclass(frozen=True)
class Clip:
    """One clip of N frames at 25 a second."""

    name: str  # "grid/s1/bbaz7a": the last three parts of the source's path, without suffix
    person: str  # a label only
    fingerprint: str  # hash of all that the track depends on: source, face model, options
    track: FaceTrack
    speech_int16: np.ndarray  # [640 N] int16, 16 kHz; zeros where has_speech is False
    has_speech: bool
    ppg: np.ndarray  # [N, 41] float32; zeros where there is no speech or no acoustic model has run
    ppg_hash: str  # of the acoustic model; "" if none has run
    jpegs: Sequence[bytes]  # N encoded frames, read when indexed

    def __len__(self) -> int:
        """Number of frames N."""
        return len(self.track.valid)

    @property
    def speech(self) -> np.ndarray:
        """[640 N] float32 in [-1, 1), 16 kHz."""
        return self.speech_int16.astype(np.float32) / 32768

    def frame(self, index: int) -> np.ndarray:
        """[256,256,3] uint8 RGB."""
        return decode_jpeg(self.jpegs[index])

    def frames(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Frames [start, stop) as [n,256,256,3] uint8 RGB."""
        return np.stack([decode_jpeg(encoded) for encoded in self.jpegs[start:stop]])


class _JpegFile(Sequence):
    """Encoded pictures one after another in a file; `ends` [N] are the offsets at which they end."""

    def __init__(self, path: Path, ends: np.ndarray):
        self._path, self._bounds = path, [0, *map(int, ends)]

    def __len__(self) -> int:
        return len(self._bounds) - 1

    def __getitem__(self, index):
        with open(self._path, "rb") as file:
            if not isinstance(index, slice):
                return self._read(file, range(len(self))[index])
            return [self._read(file, i) for i in range(len(self))[index]]

    def _read(self, file, index: int) -> bytes:
        file.seek(self._bounds[index])
        return file.read(self._bounds[index + 1] - self._bounds[index])


def save_clip(directory: str | os.PathLike, clip: Clip, frames: Iterable[bytes] | None = None) -> None:
    """Writes a clip to a folder of its own, whole or not at all; `frames` (default: the clip's own) may be a stream."""
    with atomic_path(directory) as part:
        part.mkdir()
        ends, end = [], 0
        with open(part / _PICTURES, "wb") as file:
            for encoded in clip.jpegs if frames is None else frames:
                end += file.write(encoded)
                ends.append(end)
        if len(ends) != len(clip):
            raise ValueError(f"{clip.name}: {len(ends)} frames for a track of {len(clip)}")
        own = {f.name: getattr(clip, f.name) for f in fields(Clip) if f.name not in ("track", "jpegs")}
        track = {f"track_{key}": value for key, value in clip.track._asdict().items()}
        np.savez(part / _ARRAYS, ends=np.asarray(ends, np.int64), **own, **track)


def load_clip(directory: str | os.PathLike) -> Clip:
    """The clip that `save_clip` wrote. UserError: missing, damaged, or not such a clip; the pictures are not read."""
    directory = Path(directory)
    arrays = read_npz(directory / _ARRAYS, _LARGEST)
    _check_arrays(arrays, directory / _ARRAYS)
    value = {key: array if array.ndim else array.item() for key, array in arrays.items()}
    ends = value.pop("ends")
    size = size_of(directory / _PICTURES, _LARGEST)
    if not ((np.diff(ends, prepend=0) > 0).all() and ends[-1] == size):
        raise UserError(f"{directory / _PICTURES} is of another size than its clip says: copy or export it again")
    track = FaceTrack(**{key: value.pop(f"track_{key}") for key in FaceTrack._fields})
    return Clip(track=track, jpegs=_JpegFile(directory / _PICTURES, ends), **value)


def _check_arrays(arrays: Mapping[str, np.ndarray], source: Path) -> None:
    """UserError where arrays are not a clip's: their names, kinds ("f" float, "U" text, ...), shapes and extremes."""
    n = len(arrays["ends"]) if arrays.get("ends", np.zeros(())).ndim else 0
    d = arrays["track_expression"].shape[-1] if arrays.get("track_expression", np.zeros(())).ndim else 0
    texts = dict.fromkeys(("name", "person", "fingerprint", "ppg_hash", "track_face_model"), ("U", (), None))
    expected = texts | {
        "ends": ("i", (n,), None),
        "speech_int16": ("i", (SAMPLES_PER_FRAME * n,), None),
        "has_speech": ("b", (), None),
        "ppg": ("f", (n, len(PHONES)), 1e3),
        "track_identity": ("f", arrays.get("track_identity", np.zeros(1)).shape[-1:], 1e3),
        "track_expression": ("f", (n, d), 1e3),
        "track_rotation": ("f", (n, 3), 1e3),
        "track_translation": ("f", (n, 3), 1e6),
        "track_gaze": ("f", (n, 4), 1e3),
        "track_landmarks": ("f", (n, 478, 3), 1e6),
        "track_valid": ("b", (n,), None),
        "track_crop": ("f", (3,), 1e6),
        "track_source_size": ("i", (2,), 1e6),
        "track_focal": ("f", (), 1e6),
        "track_fps": ("f", (), 1e6),
    }
    fits = n > 0 and set(arrays) == set(expected)
    for name, (kind, shape, most) in expected.items() if fits else ():
        array = arrays[name]
        fits &= array.dtype.kind == kind and array.shape == shape
        fits &= most is None or bool((np.abs(array) <= most).all())
    if not fits:
        raise UserError(f"{source} holds no clip of this version of vast_jax: copy it again, or make it again")


def origin_of(clips: Sequence[Clip], otherwise: str) -> dict[str, str]:
    """What a card says of weights that clips taught: "data", their folders, and "licence"; `otherwise` if not open."""
    free = all(clip.name.startswith(_OPEN_CORPORA) for clip in clips)
    folders = sorted({clip.name.rpartition("/")[0] for clip in clips})
    return {"data": ", ".join(folders), "licence": "CC-BY-4.0 (GRID corpus)" if free else otherwise}
