import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow_datasets as tfds

from vast_jax.data.corpora.index import Recordings, write_index
from vast_jax.types import UserError


@pytest.fixture
def mead(tmp_path) -> Path:
    for actor, emotion, level in (("M003", "angry", 3), ("W009", "sad", 1)):
        folder = tmp_path / "mead" / actor / "video" / "front" / emotion / f"level_{level}"
        folder.mkdir(parents=True)
        (folder / "001.mp4").touch()
    return tmp_path / "mead"


def test_labels_come_back_by_split_without_tensorflow(tmp_path, mead):
    listing = write_index("mead", mead, tmp_path / "data")
    assert len(listing.recordings) == 2
    path = tmp_path / "data" / "corpora" / "mead" / "recordings" / "mead" / "1.0.0"
    code = (
        "import sys, tensorflow_datasets as tfds\n"
        f"builder = tfds.builder_from_directory({str(path)!r})\n"
        "(train,), (test,) = (builder.as_data_source(split) for split in ('train', 'held_out'))\n"
        "assert train['name'] == b'mead/M003/front_angry_level_3_001' and train['emotion'] == b'angry'\n"
        "assert train['level'] == 3 and train['view'] == b'front' and not train['in_paper']\n"
        "assert test['person'] == b'W009' and test['file'].endswith(b'W009/video/front/sad/level_1/001.mp4')\n"
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_the_builder_reads_its_manual_dir(tmp_path, mead):
    config = tfds.download.DownloadConfig(manual_dir=str(mead))
    builder = Recordings(config="mead", data_dir=str(tmp_path / "tfds"))
    builder.download_and_prepare(download_config=config)
    assert {split: info.num_examples for split, info in builder.info.splits.items()} == {"train": 1, "held_out": 1}


def test_nothing_is_left_of_a_folder_of_something_else(tmp_path, mead):
    with pytest.raises(UserError, match="nothing of GRID"):
        write_index("grid", mead, tmp_path / "data")
    assert not (tmp_path / "data").exists()
