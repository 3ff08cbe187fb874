import json
import sys

import numpy as np
import pytest
import soundfile

from vast_jax.audio import PHONES, SILENCE, fit, video_frames
from vast_jax.data.labels import UNLABELLED, Utterance, read, read_phones, said, write
from vast_jax.data.splits import is_held_out
from vast_jax.label import __main__ as label
from vast_jax.label import alignment
from vast_jax.label.transcripts import grid_words, read_transcripts, words_of
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
    assert words_of(text) == words


def test_grid_sentences():
    assert grid_words("bbaf2n") == ["bin", "blue", "at", "f", "two", "now"]
    assert grid_words("swizza") == ["set", "white", "in", "zed", "zero", "again"]
    assert grid_words("LJ001-0001") is None and grid_words("xbaf2n") is None


def test_transcripts(tmp_path):
    (tmp_path / "a.txt").write_text("1688-1 there's iron\n")
    (tmp_path / "b.csv").write_text("LJ1|in 2 parts|in two parts\n")
    read_back = read_transcripts((tmp_path / "a.txt", tmp_path / "b.csv"))
    assert read_back == {"1688-1": ["there's", "iron"], "LJ1": ["in", "two", "parts"]}
    with pytest.raises(UserError, match="no such file"):
        read_transcripts((tmp_path / "c.txt",))


def test_recordings(tmp_path):
    (tmp_path / "a.flac").touch()
    (tmp_path / "b.txt").touch()
    assert [r.path for r in label.recordings((tmp_path,))] == [tmp_path / "a.flac"]
    for path in (tmp_path / "none", tmp_path / "b.txt"):
        with pytest.raises(UserError):
            label.recordings((path,))


def test_speakers_of_a_corpus_as_unpacked(tmp_path):
    for speaker in ("s1", "s2"):
        folder = tmp_path / speaker / "video" / "mpg_6000"
        folder.mkdir(parents=True)
        (folder / "bbaz7a.mpg").touch()
    found = label.of_corpus("grid", (tmp_path,))
    assert [recording.corpus for recording in found] == ["s1", "s2"]
    assert found[0].words == ["bin", "blue", "at", "zed", "seven", "again"]
    assert [is_held_out(str(recording.path)) for recording in found] == [True, False]


def test_words_outside_the_dictionary_are_pronounced():
    pytest.importorskip("gruut")
    assert alignment.pronounce("sherburn's") == ("SH", "ER", "B", "ER", "N", "Z")
    assert alignment.pronounce("judge") == ("JH", "AH", "JH")
    assert set(alignment._ARPABET.values()) == set(PHONES) - {"SIL", "NSN"}


def test_phones_of_a_file(tmp_path):
    path = tmp_path / "a.phn"
    path.write_text("0 500 SIL\n500 1100 AA\n1120 1280 B\n")
    assert [PHONES[i] for i in read_phones(path, 5)] == ["SIL", "SIL", "AA", "B", "SIL"]
    for text in ("0 500 h#\n", "0 500\n"):
        path.write_text(text)
        with pytest.raises(UserError, match="start end PHONE"):
            read_phones(path, 5)


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with pytest.raises(UserError, match="label"):
        alignment.Aligner()


def test_dataset_comes_back(tmp_path):
    rng = np.random.default_rng(0)
    made = [
        Utterance(
            f"s1/{n}",
            rng.integers(-9, 9, 640 * n, np.int16),
            rng.integers(0, 41, 2 * n, np.uint8),
            rng.integers(0, 41, n // 4, np.uint8),
        )
        for n in (5, 3, 30)
    ]
    write({"train": made[:2], "held_out": []}, tmp_path / "labels" / "a")
    write({"train": made[2:]}, tmp_path / "labels" / "b")
    back = read(tmp_path / "labels", "train")
    assert list(back.frames) == [6, 60, 10] and back.names == ["s1/3", "s1/30", "s1/5"]
    for one, other in zip(sorted(made), back, strict=True):
        assert one.name == other.name
        for name in ("speech", "labels", "phones"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
            assert getattr(one, name).dtype == getattr(other, name).dtype
    with pytest.raises(UserError, match="held_out"):
        read(tmp_path / "labels", "held_out")
    with pytest.raises(UserError, match="no labelled speech"):
        read(tmp_path / "nothing", "train")
    with pytest.raises(UserError, match="no utterances"):
        write({"train": []}, tmp_path / "empty")


def test_phones_said():
    labels = np.array([0, 0, 5, 5, 255, 5, 7, 0, 7, 7, 0], np.uint8)
    assert list(said(labels)) == [5, 5, 7, 7] and not said(np.zeros(0, np.uint8)).size


def test_alignment_finds_the_words(recordings):
    pytest.importorskip("pocketsphinx")
    path = recordings / "grid" / "s1" / "bbaf2n.mkv"
    speech = read_speech(path)
    signal = fit(speech, video_frames(len(speech), 16000))
    align = alignment.Aligner()
    labels = align(signal, grid_words("bbaf2n"))
    assert len(labels) == 150 and labels.max() < len(PHONES)
    spoken = np.flatnonzero(labels != SILENCE)
    start, end = spoken[0] * 0.02, spoken[-1] * 0.02
    assert abs(start - 23750 / 25000) < 0.1 and abs(end - 53000 / 25000) < 0.1  # the corpus's own alignment
    heard = [PHONES[a] for a, b in zip(labels, np.append(labels[1:], SILENCE), strict=True) if a != b]
    assert " ".join(p for p in heard if p != "SIL") == "B IH N B L UW AE T EH F T UW N AW"
    guessed = align(signal, ["bin", "blooe", "at", "f", "two", "now"])
    assert (guessed == labels).mean() > 0.8 and align.guessed == {"blooe"}


def _bursts() -> tuple[np.ndarray, np.ndarray]:
    """Four sounds of half a second with as long pauses before them, between and after, full of rumble; labels."""
    said_at = np.repeat(np.tile([0, 1], 5)[:9], 25)
    rng, seconds = np.random.default_rng(0), np.arange(len(said_at) * 320) / 16000
    noise, rumble = 0.1 * rng.standard_normal(len(seconds)), 0.3 * np.sin(2 * np.pi * 90 * seconds)
    signal = rumble + noise * np.where(np.repeat(said_at, 320), 1, 0.02)
    labels = np.where(said_at, PHONES.index("AA"), SILENCE).astype(np.uint8)
    return signal[: len(signal) // 640 * 640], labels[: len(labels) // 2 * 2]


def test_speech_outside_the_words_is_noticed():
    signal, labels = _bursts()
    assert alignment.unsaid(signal, labels) == 0
    labels[60:] = SILENCE  # the transcript stops after the first of four
    assert alignment.unsaid(signal, labels) == pytest.approx(3, abs=0.2)
    assert alignment.unsaid(signal / 100, labels) == pytest.approx(3, abs=0.2)
    assert alignment.unsaid(signal, np.zeros_like(labels)) == 0


@pytest.mark.parametrize(("known", "outcome"), [(224, "labelled"), (60, "words missing")])
def test_a_transcript_that_stops_early_is_left_out(tmp_path, monkeypatch, known, outcome):
    signal, labels = _bursts()
    labels[known:] = SILENCE
    aligner = _NoAligner()
    aligner.labels = labels
    monkeypatch.setattr(label, "Aligner", lambda: aligner)
    labeller = label._Labeller(None, align=True)
    soundfile.write(tmp_path / "a.wav", signal, 16000)
    labelled = labeller(label.Recording(tmp_path / "a.wav", "mine", ["ah"]))
    assert labelled.outcome == outcome and (labelled.utterance is None) == (outcome != "labelled")


def test_labels_and_report(tmp_path, monkeypatch):
    monkeypatch.setattr(label, "Aligner", lambda: _NoAligner())
    label._labeller.cache_clear()
    folder = tmp_path / "kokoro"
    folder.mkdir()
    for name, second in (("af_heart-1", 1), ("af_bella-2", 2), ("bm_fable-3", 3)):
        soundfile.write(folder / f"{name}.flac", np.full(second * 16000, 0.1), 16000)
    for name in ("af_heart-1", "af_bella-2"):
        (folder / f"{name}.phn").write_text("0 8000 AA\n")
    arguments = label.Args(speech=(folder,), out=tmp_path / "labels")
    report = label.label(arguments)
    assert report["kokoro"]["labelled"] == 2 and report["kokoro"]["words unknown"] == 1
    assert json.loads((tmp_path / "labels" / "labelling.json").read_text()) == report
    assert "kokoro: 3 recordings, 2 labelled" in label.describe(report)
    (held,) = read(tmp_path / "labels", "held_out")
    assert list(held.phones) == [2]
    assert held.name == "kokoro/af_bella-2" and (held.labels[:25] == 2).all() and not held.labels[25:].any()


def test_librispeech_as_published(tmp_path):
    """The folders of the archives: transcripts are found, the test sets kept apart, a broken file is counted."""
    for part, book in (("train-clean-100", "103/1240"), ("test-other", "1688/142285")):
        folder = tmp_path / "LibriSpeech" / part / book
        folder.mkdir(parents=True)
        names = [f"{book.replace('/', '-')}-{i:04}" for i in range(2)]
        (folder / f"{book.replace('/', '-')}.trans.txt").write_text(f"{names[0]} A DOG\n{names[1]} TEN\n")
        soundfile.write(folder / f"{names[0]}.flac", np.full(16000, 0.1), 16000)
        (folder / f"{names[1]}.flac").write_bytes(b"fLaC")
    pytest.importorskip("gruut")
    label._labeller.cache_clear()
    report = label.label(label.Args((tmp_path / "LibriSpeech",), tmp_path / "labels", align=False, workers=2))
    assert report["train-clean-100"] == {"recordings": 2, "labelled": 1, "hours labelled": 1 / 3600, **_REST}
    (train,), (held,) = read(tmp_path / "labels", "train"), read(tmp_path / "labels", "held_out")
    assert (train.name, held.name) == ("train-clean-100/103-1240-0000", "test-other/1688-142285-0000")
    assert (train.labels == UNLABELLED).all() and [PHONES[i] for i in train.phones] == ["AH", "D", "AO", "G"]


_REST = {"not readable": 1, "hours not readable": 0, "words by grapheme-to-phoneme": 0}


class _NoAligner:
    guessed: frozenset[str] = frozenset()
    labels: np.ndarray

    def __call__(self, signal: np.ndarray, words: list[str]) -> np.ndarray:
        return self.labels
