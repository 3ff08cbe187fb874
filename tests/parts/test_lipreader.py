import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from footage import made_up_clip
from random_params import random_like

from vast_jax.data import builders
from vast_jax.data.clips import encode_jpeg
from vast_jax.data.grid_corpus import BLANK, WORDS, grid_sentence
from vast_jax.metrics.lip_reading import load_lip_reader
from vast_jax.parts import lipreader_data
from vast_jax.parts.lipreader import LipReaderPart
from vast_jax.parts.lipreader_data import Examples, Sentence, clip_starts, of_clip, sentences
from vast_jax.training.step import TrainState, train_step
from vast_jax.types import UserError

NAMES = ("bbaf2n", "sria9s", "lgwxzp")
HELD_OUT = "bbaz7a"
FRAMES, LEAD, LONG = 32, 3, 4  # of a clip, before its first word, of a word
STEPS = 30


def talk(name: str, start: int = 0):
    """A clip whose picture has one colour for each word."""
    clip = made_up_clip(f"grid/s1/{name}", frames=FRAMES - start, seed=1)
    pictures = [np.full((256, 256, 3), 120, np.uint8)] * LEAD
    for word in grid_sentence(name):
        shade = np.random.default_rng(WORDS.index(word)).integers(0, 255, 3, np.uint8)
        pictures += [np.full((256, 256, 3), shade, np.uint8)] * LONG
    pictures += [pictures[0]] * (FRAMES - len(pictures))
    return dataclasses.replace(clip, jpegs=[encode_jpeg(picture) for picture in pictures[start:]])


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Prepared clips, one of which begins two frames late, and their alignments."""
    home = tmp_path_factory.mktemp("grid")
    starts = {"lgwxzp": 2}
    clips = [talk(name, starts.get(name, 0)) for name in (*NAMES, HELD_OUT)]
    builders.write_folder(home / "data" / "grid+s1", clips)
    lines = {clip.name: {"start": starts.get(clip.name[-6:], 0)} for clip in clips}
    (home / "data" / "report.json").write_text(json.dumps({"clips": lines}))
    (home / "align").mkdir()
    for name in (*NAMES, HELD_OUT):
        times = [0, *(1000 * (LEAD + LONG * k) for k in range(7)), 1000 * FRAMES]
        words = ["sil", *grid_sentence(name), "sil"]
        rows = [f"{a} {b} {word}" for a, b, word in zip(times, times[1:], words, strict=False)]
        (home / "align" / f"{name}.align").write_text("\n".join(rows))
    return home


@pytest.fixture(scope="module")
def source(home) -> list[Sentence]:
    return sentences(home / "data", home / "align")


def spoken(labels) -> list[int]:
    new = np.concatenate([[True], labels[1:] != labels[:-1]])
    return [int(c) for c in labels[new] if c != BLANK]


def test_sentences(home, source):
    assert [sentence.name[-6:] for sentence in source] == sorted(NAMES)  # none that is held out
    assert clip_starts(home / "data")["grid/s1/lgwxzp"] == 2
    for sentence in source:
        start = 2 if sentence.name.endswith("lgwxzp") else 0
        assert sentence.mouths.shape == (FRAMES - start, 96, 96, 3) and len(sentence.phones) == FRAMES - start
        classes = [WORDS.index(word) + 1 for word in grid_sentence(sentence.name)]
        expected = np.repeat([0, *classes, 0], [LEAD - start, *[LONG] * 6, FRAMES - LEAD - 6 * LONG])
        np.testing.assert_array_equal(sentence.labels, expected)
        np.testing.assert_array_equal(sentence.borders[1:-1], LEAD - start + LONG * np.arange(1, 6))
        # the pictures change where the labels do
        moved = np.abs(np.diff(sentence.mouths.astype(int), axis=0)).max((1, 2, 3)) > 10
        np.testing.assert_array_equal(moved, np.diff(sentence.labels) != 0)


def test_clips_of_another_time_or_sentence_are_left_out(home):
    path = home / "align" / "bbaf2n.align"
    assert of_clip(talk("bbaf2n", 0), path, 0) is not None
    assert of_clip(talk("bbaf2n", 4), path, 4) is None  # its first word began before it
    assert of_clip(talk("sria9s", 0), path, 0) is None


def test_no_alignments(home, tmp_path):
    for align in (None, tmp_path / "nowhere"):
        with pytest.raises(UserError, match=r"--part\.align"):
            sentences(home / "data", align)
    with pytest.raises(UserError, match="no training clip"):
        sentences(home / "data", tmp_path)


def test_examples_stay_true(source):
    """Whatever is spliced, sped up, cut: labels, words and pictures tell the same sentence of the grammar."""
    make, still, changed = Examples(source, 40), 0, 0
    for seed in range(60):
        example = make(seed % 3, np.random.default_rng(seed))
        again = make(seed % 3, np.random.default_rng(seed))
        assert all(np.array_equal(example[name], again[name]) for name in example)
        assert example["views"].shape == (40, 40, 40, 3) and example["views"].dtype == np.uint8
        length = example["mask"].sum()
        assert example["mask"][:length].all() and not example["labels"][length:].any()
        words = [int(c) for c in example["words"] if c != BLANK]
        assert spoken(example["labels"][:length]) == words and len(words) in (0, 6)
        if words:
            places = [{s.labels[s.borders[k] : s.borders[k + 1]].max() for s in source} for k in range(6)]
            assert all(word in place for word, place in zip(words, places, strict=True))
        still += not words
        changed += bool(words) and tuple(WORDS[c - 1] for c in words) not in {grid_sentence(name) for name in NAMES}
    assert still and changed > 10


def test_narrow_windows_keep_all_words(source):
    for seed in range(20):
        example = Examples(source, 20)(0, np.random.default_rng(seed))
        assert example["mask"].all() and (
            spoken(example["labels"]) == list(example["words"]) or not example["words"].any()
        )


def test_resampling_is_exact_at_whole_frames_and_between():
    views = np.random.default_rng(0).integers(0, 255, (4, 2, 2, 3), np.uint8)
    out = lipreader_data.resample(views, np.array([0.0, 2.0, 2.5, 3.0]))
    np.testing.assert_allclose(out[[0, 1, 3]], views[[0, 2, 3]])
    np.testing.assert_allclose(out[2], (views[2].astype(float) + views[3]) / 2)


def part_of(home) -> LipReaderPart:
    return LipReaderPart(
        align=str(home / "align"), channels=(8, 8, 8), width=24, dilations=(1,), state=12, dropout=0.0, window=32,
        learning_rate=1e-2, frames_until=0.5, phones_weight=0.1,
    )  # fmt: skip


def start(part, batch):
    return random_like(jax.eval_shape(part.init, jax.random.key(0), batch))


def test_learns_exports_and_reports(home, tmp_path):
    pytest.importorskip("jiwer")
    own = part_of(home)
    data = iter(own.dataset(home / "data", "train", 4, seed=0))
    batch = next(data)
    part, optimisers = own.players({}), own.optimisers(STEPS)
    params = start(part, batch)
    optimiser = {"lipreader": optimisers["lipreader"].init(params["lipreader"])}
    state = TrainState(jnp.zeros((), jnp.int32), params, optimiser, jax.random.key(0))
    step = jax.jit(functools.partial(train_step, part, optimisers, STEPS))
    history = []
    for _ in range(STEPS):
        state, metrics = step(state, next(data))
        history.append({name: float(value) for name, value in metrics.items()})
    labelled, read = ([metrics[f"lipreader/{name}"] for metrics in history] for name in ("frames", "ctc"))
    assert np.mean(labelled[STEPS // 2 - 3 : STEPS // 2]) < 0.7 * labelled[0]  # from labels at first, then by CTC
    assert np.mean(read[-3:]) < 0.5 * read[0]

    params = jax.device_get(state.params)
    figures = own.report(params, {}, home / "data", tmp_path, STEPS)
    assert figures["clips"] == 1 and figures["real_grammar_wer"] <= 1 and "frozen_wer" in figures
    assert {path.name for path in tmp_path.glob("*.png")} == {"words.png", "letters.png"}
    own.export(params, {}, tmp_path / "export", home / "data", figures)
    reader = load_lip_reader(tmp_path / "export")
    assert reader.card["data"] == "3 clips of grid/s1" and reader.card["words"] == list(WORDS)
    found = reader.log_probabilities(np.zeros((6, 96, 96, 3), np.uint8))
    assert found.shape == (6, len(WORDS) + 1) and np.isfinite(found).all()


def test_padding_is_no_part_of_the_loss(home):
    own = part_of(home)
    batch = dict(next(iter(own.dataset(home / "data", "train", 4, seed=0))))
    part = own.players({})
    params = start(part, batch)
    loss = jax.jit(functools.partial(part.losses["lipreader"], params, key=None, progress=1.0))
    mask = batch["mask"].copy()
    mask[:, 28:] = False
    other = {name: value.copy() for name, value in batch.items()}
    for name in ("views", "labels", "phones"):
        other[name][:, 28:] = 1
    one, two = (loss({**b, "mask": mask})[0] for b in (batch, other))
    np.testing.assert_allclose(one, two, rtol=1e-5)
    assert loss({**batch, "mask": np.ones_like(mask)})[0] != pytest.approx(float(one), rel=1e-3)
