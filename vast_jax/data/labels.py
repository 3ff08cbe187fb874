"""Speech with a phone label every 20 ms, to train the acoustic model on: tfds datasets of array_record files.

A folder may hold several, each made by a run of `vast_jax.label`; they are read as one, recording by recording, so that
a thousand hours need no more memory than one.
"""

import functools
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from vast_jax.audio import HOP, PHONES, SILENCE
from vast_jax.files import atomic_path
from vast_jax.types import UserError

UNLABELLED = 255  # frames whose phone is not known: they count in no loss and no figure
SPLITS = ("train", "held_out")
INDEX = "utterances.json"  # names and frames by split, beside the dataset


class Utterance(NamedTuple):
    """T video frames of speech and its phones."""

    name: str  # corpus and recording, e.g. "s1/bbaf2n"
    speech: np.ndarray  # [640 T] int16 at 16 kHz
    labels: np.ndarray  # [2T] uint8, index into audio.PHONES at 50 Hz, or UNLABELLED
    phones: np.ndarray = np.zeros(0, np.uint8)  # [L], what is said, without silence: for CTC, which knows no times

    @property
    def signal(self) -> np.ndarray:
        """The speech, float32 [640 T] in [-1, 1]."""
        return self.speech / np.float32(32768)


class LabelledSpeech(tfds.core.GeneratorBasedBuilder):
    """tfds builder; `utterances` maps a split to its utterances and is needed to build only. Their order is kept."""

    VERSION = tfds.core.Version("2.0.0")

    def __init__(self, utterances: Mapping[str, Iterable[Utterance]] | None = None, **kwargs):
        self._utterances = utterances or {}
        super().__init__(file_format="array_record", **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        def array(dtype):
            return tfds.features.Tensor(shape=(None,), dtype=dtype, encoding=tfds.features.Encoding.BYTES)

        features = tfds.features.FeaturesDict(
            dict(name=tfds.features.Text(), speech=array(np.int16), labels=array(np.uint8), phones=array(np.uint8))
        )
        info = self.dataset_info_from_configs(features=features, disable_shuffling=True)
        info.initialize_from_bucket = lambda: None  # it leaves an empty folder, and no bucket knows this dataset
        return info

    def _split_generators(self, dl_manager) -> dict[str, Iterator]:
        return {split: self._generate_examples(utterances) for split, utterances in self._utterances.items()}

    def _generate_examples(self, utterances: Iterable[Utterance]) -> Iterator:
        for utterance in utterances:
            yield utterance.name, utterance._asdict()


class LabelledUtterances(Sequence[Utterance]):
    """The utterances of one split of all datasets in a folder, sorted by name; each is read when it is asked for.

    UserError: no dataset, none with such a split, one of an older form.
    """

    def __init__(self, directory: str | os.PathLike, split: str):
        self.directory = directory
        sources = sorted(Path(directory).glob(f"**/{INDEX}"))
        if not sources:
            raise UserError(f"{directory}: no labelled speech in there; make some by python -m vast_jax.label")
        rows: list[tuple[str, int, int, int]] = []  # name, frames, source, place in it
        self._sources = []
        for path in sources:
            index = json.loads(path.read_text()).get(split, [])
            if not index:
                continue
            (features,) = path.parent.glob("**/features.json")
            rows += [(name, frames, len(self._sources), place) for place, (name, frames) in enumerate(index)]
            self._sources.append(tfds.builder_from_directory(str(features.parent)).as_data_source(split))
        if not rows:
            raise UserError(f"{directory}: has no {split} split; label recordings of that side too")
        rows.sort()
        self.names = [row[0] for row in rows]
        self.frames = np.array([row[1] for row in rows])  # of the labels, 50 a second
        self._at = [row[2:] for row in rows]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        source, place = self._at[index]
        row = self._sources[source][place]
        utterance = Utterance(self.names[index], row["speech"], row["labels"], row["phones"])
        if len(utterance.labels) != self.frames[index] or len(utterance.speech) != HOP * len(utterance.labels):
            raise UserError(f"{self.directory}: {utterance.name} is not as its index says; build the dataset again")
        return utterance

    def corpora(self) -> dict[str, list[int]]:
        """Places of the utterances of each corpus."""
        out: dict[str, list[int]] = {}
        for i, name in enumerate(self.names):
            out.setdefault(name.split("/")[0], []).append(i)
        return out


def said(labels: np.ndarray) -> np.ndarray:
    """The phones in a row of labels [T] uint8: each run of one phone once, without silence and unknown frames."""
    first = np.concatenate([[True], labels[1:] != labels[:-1]])
    return labels[first & (labels != SILENCE) & (labels != UNLABELLED)]


def read_phones(path: str | os.PathLike, frames: int) -> np.ndarray:
    """Labels uint8 [frames] of a file of lines "first-sample sample-after-the-last phone" at 16 kHz (TIMIT's form).

    A frame has the phone at its middle, silence where there is none. UserError: another form, an unknown phone.
    """
    labels, middles = np.full(frames, SILENCE, np.uint8), (np.arange(frames) + 0.5) * HOP
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        try:
            start, end, phone = line.split()
            labels[(int(start) <= middles) & (middles < int(end))] = PHONES.index(phone)
        except ValueError:
            raise UserError(f"{path}: {line!r} is not 'start end PHONE', with one of {' '.join(PHONES)}") from None
    return labels


def write(
    utterances: Mapping[str, Iterable[Utterance]], directory: str | os.PathLike, report: Mapping | None = None
) -> None:
    """Builds the dataset under `directory` (whole or not at all), split by split as they come; empty ones are left out.

    `report`, about how it was made, may be filled meanwhile and is kept beside it as labelling.json. UserError: no
    utterance at all.
    """
    index: dict[str, list[tuple[str, int]]] = {}

    def noted(split: str, items: Iterator[Utterance]) -> Iterator[Utterance]:
        for utterance in items:
            index.setdefault(split, []).append((utterance.name, len(utterance.labels)))
            yield utterance

    kept = {}
    for split, items in utterances.items():
        items = iter(items)
        if (first := next(items, None)) is not None:
            kept[split] = noted(split, itertools.chain([first], items))
    if not kept:
        raise UserError(f"{directory}: no utterances to write")
    with atomic_path(directory) as part:
        LabelledSpeech(kept, data_dir=str(part)).download_and_prepare()
        (part / INDEX).write_text(json.dumps(index) + "\n")
        if report is not None:
            (part / "labelling.json").write_text(json.dumps(report, indent=1) + "\n")


@functools.lru_cache(maxsize=4)
def read(directory: str | os.PathLike, split: str) -> LabelledUtterances:
    """`LabelledUtterances(directory, split)`, opened once."""
    return LabelledUtterances(directory, split)
