import sys

import numpy as np
import pytest

from vast_jax import label
from vast_jax.audio import PHONES, SILENCE, fit, video_frames
from vast_jax.data.labels import UNLABELLED, Utterance, read, write
from vast_jax.media import read_speech
from vast_jax.types import UserError


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It's Mr. Hale's -- no!", ["it's", "mister", "hale's", "no"]),
        ("Chapter 34, 8 men", ["chapter", "thirty", "four", "eight", "men"]),
        ("in 1465 and 1905", ["in", "fourteen", "sixty", "five", "and", "nineteen", "o", "five"]),
        ("the 12th", ["the", "twelve"]),
        ("a sum of 123456", None),
    ],
)
def test_words_of(text, words):
    assert label.words_of(text) == words


def test_grid_sentences():
    assert label.grid_words("bbaf2n") == ["bin", "blue", "at", "f", "two", "now"]
    assert label.grid_words("swizza") == ["set", "white", "in", "zed", "zero", "again"]
    assert label.grid_words("LJ001-0001") is None and label.grid_words("xbaf2n") is None


def test_transcripts(tmp_path):
    (tmp_path / "a.txt").write_text("1688-1 there's iron\n")
    (tmp_path / "b.csv").write_text("LJ1|in 2 parts|in two parts\n")
    read_back = label.read_transcripts((tmp_path / "a.txt", tmp_path / "b.csv"))
    assert read_back == {"1688-1": ["there's", "iron"], "LJ1": ["in", "two", "parts"]}
    with pytest.raises(UserError, match="no such file"):
        label.read_transcripts((tmp_path / "c.txt",))


def test_recordings(tmp_path):
    (tmp_path / "a.flac").touch()
    (tmp_path / "b.txt").touch()
    assert label.recordings((tmp_path,)) == [tmp_path / "a.flac"]
    for path in (tmp_path / "none", tmp_path / "b.txt"):
        with pytest.raises(UserError):
            label.recordings((path,))


def test_crude_spelling_knows_every_letter():
    assert label._spell("quickeneth") == "K W IH K EH N EH TH"
    assert set(label._spell("abcdefghijklmnopqrstuvwxyz").split()) < set(PHONES)


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with pytest.raises(UserError, match="label"):
        label.Aligner()


def test_dataset_comes_back(tmp_path):
    rng = np.random.default_rng(0)
    made = [
        Utterance(f"s1/{n}", rng.integers(-9, 9, 640 * n, np.int16), rng.integers(0, 41, 2 * n, np.uint8))
        for n in (3, 5)
    ]
    write({"train": made, "held_out": []}, tmp_path / "labels")
    for one, other in zip(made, read(tmp_path / "labels", "train"), strict=True):
        assert one.name == other.name and (one.speech == other.speech).all() and (one.labels == other.labels).all()
    with pytest.raises(UserError, match="held_out"):
        read(tmp_path / "labels", "held_out")
    with pytest.raises(UserError, match="not one"):
        read(tmp_path / "nothing", "train")


def test_alignment_finds_the_words(shared_data):
    pytest.importorskip("pocketsphinx")
    path = shared_data / "grid" / "s1" / "bbaf2n.mkv"
    speech = read_speech(path)
    signal = fit(speech, video_frames(len(speech), 16000))
    align = label.Aligner()
    labels = align(signal, label.grid_words("bbaf2n"))
    assert len(labels) == 150 and labels.max() < len(PHONES)
    spoken = np.flatnonzero(labels != SILENCE)
    start, end = spoken[0] * 0.02, spoken[-1] * 0.02
    assert abs(start - 23750 / 25000) < 0.1 and abs(end - 53000 / 25000) < 0.1  # the corpus's own alignment
    heard = [PHONES[a] for a, b in zip(labels, np.append(labels[1:], SILENCE), strict=True) if a != b]
    assert " ".join(p for p in heard if p != "SIL") == "B IH N B L UW AE T EH F T UW N AW"
    guessed = align(signal, ["bin", "bluw", "at", "f", "two", "now"])
    assert 0.03 < (guessed == UNLABELLED).mean() < 0.3
