"""Speech with a phone label every 20 ms, to train the acoustic model on: a tfds dataset of array_record files."""

import functools
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


class Utterance(NamedTuple):
    """T video frames of speech and its phones."""

    name: str  # folder and file, e.g. "s1/bbaf2n"
    speech: np.ndarray  # [640 T] int16 at 16 kHz
    labels: np.ndarray  # [2T] uint8, index into audio.PHONES at 50 Hz, or UNLABELLED


class LabelledSpeech(tfds.core.GeneratorBasedBuilder):
    """tfds builder; `utterances` maps a split to its utterances and is needed to build only."""

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, utterances: dict[str, Iterable[Utterance]] | None = None, **kwargs):
        self._utterances = utterances or {}
        super().__init__(file_format="array_record", **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "name": tfds.features.Text(),
            "speech": tfds.features.Tensor(shape=(None,), dtype=np.int16),
            "labels": tfds.features.Tensor(shape=(None,), dtype=np.uint8),
        }
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager) -> dict[str, Iterator]:
        return {split: self._generate_examples(utterances) for split, utterances in self._utterances.items()}

    def _generate_examples(self, utterances: Iterable[Utterance]) -> Iterator:
        for utterance in utterances:
            yield utterance.name, utterance._asdict()


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
    utterances: dict[str, Sequence[Utterance]], directory: str | os.PathLike, report: Mapping | None = None
) -> None:
    """Builds the dataset under `directory` (whole or not at all); empty splits are left out.

    `report`, about how it was made, is kept beside it as labelling.json.
    """
    with atomic_path(directory) as part:
        builder = LabelledSpeech({split: items for split, items in utterances.items() if items}, data_dir=str(part))
        builder.download_and_prepare()
        if report is not None:
            (part / "labelling.json").write_text(json.dumps(report, indent=1) + "\n")


@functools.lru_cache(maxsize=4)
def read(directory: str | os.PathLike, split: str) -> tuple[Utterance, ...]:
    """All utterances of a split, in memory: an hour is 115 MB. UserError: no such dataset, no such split."""
    folders = sorted(Path(directory).glob("**/features.json"))
    if len(folders) != 1:
        raise UserError(f"{directory}: not one labelled speech dataset but {len(folders)}; make one by vast_jax.label")
    builder = tfds.builder_from_directory(str(folders[0].parent))
    if split not in builder.info.splits:
        raise UserError(f"{directory}: has no {split} split; label recordings of that side and build it again")
    rows = builder.as_data_source(split)
    utterances = (Utterance(row["name"], row["speech"], row["labels"]) for row in rows)
    checked = tuple(u._replace(name=u.name.decode() if isinstance(u.name, bytes) else u.name) for u in utterances)
    for utterance in checked:
        if len(utterance.speech) != HOP * len(utterance.labels):
            raise UserError(f"{directory}: {utterance.name} has labels of another length; build the dataset again")
    return tuple(sorted(checked, key=lambda utterance: utterance.name))
