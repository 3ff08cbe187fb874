"""The recordings of a corpus as a tfds dataset: which file, which part, which split, which labels. No pictures.

Pictures and sound stay where they are and become clips by `vast_jax.prepare`, which writes its own datasets: footage
stored a second time, as it came, would be read once. Written and read without TensorFlow:

    tfds.builder_from_directory("DATA/corpora/mead/recordings/mead/1.0.0").as_data_source("held_out")
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from vast_jax.data.corpora import CORPORA
from vast_jax.data.corpora.recording import Listing, Recording
from vast_jax.files import atomic_path
from vast_jax.media import file_of
from vast_jax.types import Segment

_FOLDER = "corpora"  # of the data directory


class Recordings(tfds.core.GeneratorBasedBuilder):
    """tfds builder: its configs are the corpora, the folder of a corpus is its manual_dir; splits as `data.splits`."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=name) for name in CORPORA]  # noqa: RUF012, as tfds has it
    MANUAL_DOWNLOAD_INSTRUCTIONS = "docs/corpora.md says how to obtain each corpus, and which folder to give."

    def __init__(self, **kwargs):
        super().__init__(file_format="array_record", **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        texts = ("name", "file", "sound", "alignment", "face", "person", "text", "emotion", "view")
        features = {name: tfds.features.Text() for name in texts}
        features |= {
            name: tfds.features.Scalar(np.float64) for name in ("start", "stop")
        }  # seconds; 0, 0 for all of it
        features |= {"level": tfds.features.Scalar(np.int32), "in_paper": tfds.features.Scalar(np.bool_)}
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features), disable_shuffling=True)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        recordings = CORPORA[self.builder_config.name](Path(dl_manager.manual_dir)).recordings
        sides = {"train": [r for r in recordings if not r.held_out], "held_out": [r for r in recordings if r.held_out]}
        return {split: self._generate_examples(side) for split, side in sides.items() if side}

    def _generate_examples(self, recordings: Iterable[Recording]) -> Iterator:
        for r in recordings:
            part = r.source if isinstance(r.source, Segment) else Segment(file_of(r.source), 0, 0)
            labels = {name: getattr(r, name) for name in ("name", "face", "person", "text", "emotion", "view", "level")}
            paths = {"file": part.path, "sound": r.sound or "", "alignment": r.alignment or ""}
            times = {"start": part.start, "stop": part.stop}
            yield r.name, labels | times | {key: str(path) for key, path in paths.items()} | {"in_paper": r.in_paper}


def write_index(corpus: str, root: Path, out: Path) -> Listing:
    """Lists a corpus and writes its dataset below `out`, whole or not at all. UserError: nothing of it in `root`."""
    root = root.absolute()
    found = CORPORA[corpus](root)
    with atomic_path(out / _FOLDER / corpus) as part:
        builder = Recordings(config=corpus, data_dir=str(part))
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=str(root)))
    return found
