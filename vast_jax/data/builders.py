"""Prepared clips as TensorFlow Datasets, written and read without TensorFlow.

A data directory holds one folder for each folder of videos, and in it three aligned datasets in array_record files,
each with the splits `train` and `held_out`:

    tracks   one record a clip: name, person, FaceTrack, speech
    ppg      one record a clip: phone posteriors; apart, because they change with the acoustic model
    frames   one record a frame: JPEG; the frames of all clips one after another, in the order of `tracks`

so that everything but the pictures is read in seconds, and sixteen frames of an hour cost sixteen reads.
"""

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from vast_jax.data.clips import Clip
from vast_jax.data.splits import is_held_out
from vast_jax.files import atomic_path
from vast_jax.types import FaceTrack, UserError

SPLITS = ("train", "held_out")
VERSION = "1.0.0"  # of the records' layout
_FRAMES_PER_SHARD = 20_000


def _tensor(*shape: int | None, dtype: type = np.float32) -> tfds.features.Tensor:
    return tfds.features.Tensor(shape=shape, dtype=dtype, encoding="bytes")


_TRACK = {
    "identity": _tensor(None),
    "expression": _tensor(None, None),
    "rotation": _tensor(None, 3),
    "translation": _tensor(None, 3),
    "gaze": _tensor(None, 4),
    "landmarks": _tensor(None, 478, 3),
    "valid": _tensor(None, dtype=np.bool_),
    "crop": _tensor(3),
    "source_size": _tensor(2, dtype=np.int32),
    "focal": _tensor(dtype=np.float64),
    "fps": _tensor(dtype=np.float64),
    "face_model": tfds.features.Text(),
}
_TEXT = tfds.features.Text()
_FEATURES = {
    "tracks": {"name": _TEXT, "person": _TEXT, "fingerprint": _TEXT, "track": _TRACK}
    | {"speech_int16": _tensor(None, dtype=np.int16), "has_speech": tfds.features.Scalar(np.bool_)},
    "ppg": {"name": _TEXT, "ppg": _tensor(None, None), "ppg_hash": _TEXT},
    "frames": {"image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg")},
}


def folder_of(name: str) -> str:
    """The folder of the data directory that a clip belongs to: "grid/s1/bbaz7a" is in "grid+s1"."""
    return "+".join(name.split("/")[:-1]) or "clips"


def folders(data_dir: str | os.PathLike) -> list[Path]:
    """All folders of prepared clips under a data directory, at any depth.

    Raises:
      UserError: there is none.
    """
    found = sorted(path.parent.parent for path in Path(data_dir).rglob("tracks/dataset_info.json"))
    found = [path for path in found if not any(part.startswith(".") for part in path.relative_to(data_dir).parts)]
    if not found:
        raise UserError(f"no prepared clips in {data_dir}: make them with python -m vast_jax.prepare VIDEOS --out DIR")
    return found


def write_folder(directory: str | os.PathLike, clips: Iterable[Clip]) -> None:
    """Writes the three datasets of a folder, replacing it whole; `clips` may be views of the folder itself."""
    clips = sorted(clips, key=lambda clip: clip.name)
    with atomic_path(directory) as part:
        for dataset in _RECORDS:
            _write(part / dataset, clips)


def write_dataset(directory: str | os.PathLike, dataset: str, clips: Iterable[Clip]) -> None:
    """Replaces one dataset of a folder, "tracks" or "ppg"; `clips` must be all clips of it."""
    with atomic_path(Path(directory) / dataset) as part:
        _write(part, sorted(clips, key=lambda clip: clip.name))


def read_folder(directory: str | os.PathLike, split: str) -> list[Clip]:
    """The clips of one split of one folder, by name; frames stay on disk until asked for.

    Raises:
      UserError: the folder is not whole, or of another version of the layout.
    """
    directory = Path(directory)
    try:
        tracks, ppgs = _open(directory / "tracks", split), _open(directory / "ppg", split)
        pictures = _open(directory / "frames", split)
        clips, start = [], 0
        for record, ppg in itertools.zip_longest(tracks, ppgs):
            if record is None or ppg is None or ppg["name"] != record["name"]:
                raise UserError(
                    f"the datasets of {directory} do not fit together: delete it and prepare its videos again"
                )
            clip = _clip(record, ppg, pictures, start)
            clips.append(clip)
            start += len(clip)
        if start != len(pictures):
            raise UserError(f"{directory} has {len(pictures)} frames for {start} tracked: delete it and prepare again")
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"cannot read {directory} ({error}): delete it and prepare its videos again") from error
    return clips


def _clip(record: dict, ppg: dict, pictures: Sequence, start: int) -> Clip:
    track = record["track"]
    arrays = {name: track[name] for name in FaceTrack._fields if name not in ("focal", "fps", "face_model")}
    face_track = FaceTrack(
        **arrays,
        focal=float(track["focal"]),
        fps=float(track["fps"]),
        face_model=track["face_model"].decode(),
    )
    return Clip(
        name=record["name"].decode(),
        person=record["person"].decode(),
        fingerprint=record["fingerprint"].decode(),
        track=face_track,
        speech_int16=record["speech_int16"],
        has_speech=bool(record["has_speech"]),
        ppg=ppg["ppg"],
        ppg_hash=ppg["ppg_hash"].decode(),
        jpegs=_Pictures(pictures, range(start, start + len(face_track.valid))),
    )


class _Pictures(Sequence):
    """The encoded frames of one clip: a stretch of the `frames` dataset."""

    def __init__(self, records: Sequence, indices: range):
        self._records, self._indices = records, indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index):
        if not isinstance(index, slice):
            return self._records[self._indices[index]]["image"]
        return [record["image"] for record in self._records.__getitems__(list(self._indices[index]))]


def _track_records(clips: Sequence[Clip]) -> Iterator[dict]:
    for clip in clips:
        yield {name: getattr(clip, name) for name in _FEATURES["tracks"] if name != "track"} | {
            "track": {
                name: value if isinstance(value, str) else np.asarray(value, _TRACK[name].np_dtype)
                for name, value in clip.track._asdict().items()
            }
        }


def _ppg_records(clips: Sequence[Clip]) -> Iterator[dict]:
    for clip in clips:
        yield {"name": clip.name, "ppg": np.asarray(clip.ppg, np.float32), "ppg_hash": clip.ppg_hash}


def _frame_records(clips: Sequence[Clip]) -> Iterator[dict]:
    for clip in clips:
        for encoded in clip.jpegs:
            yield {"image": encoded}


_RECORDS = {"tracks": _track_records, "ppg": _ppg_records, "frames": _frame_records}


def _write(directory: Path, clips: Sequence[Clip]) -> None:
    """The dataset that a folder is named after."""
    directory.mkdir(parents=True)
    name = directory.name
    identity = tfds.core.dataset_info.DatasetIdentity(
        name=name, version=tfds.core.Version(VERSION), data_dir=os.fspath(directory), module_name=__name__
    )
    info = tfds.core.DatasetInfo(
        builder=identity,
        description=f"{name} of prepared clips",
        features=tfds.features.FeaturesDict(_FEATURES[name]),
    )
    # The sequential writer streams; the shuffling one keeps a split in memory and needs TensorFlow beyond 1 GB.
    writer = tfds.core.SequentialWriter(info, max_examples_per_shard=_FRAMES_PER_SHARD, file_format="array_record")
    for split in SPLITS:
        mine = [clip for clip in clips if is_held_out(clip.name) == (split == "held_out")]
        if mine:
            writer.initialize_splits([split])
            writer.add_examples({split: _RECORDS[name](mine)})
    writer.close_all()


def _open(directory: Path, split: str) -> Sequence:
    builder = tfds.builder_from_directory(directory)
    if str(builder.version) != VERSION:
        raise ValueError(f"layout {builder.version}, this program reads {VERSION}")
    if split not in builder.info.splits:
        return []
    decoders = {"image": tfds.decode.SkipDecoding()} if directory.name == "frames" else None
    return builder.as_data_source(split, decoders=decoders)
