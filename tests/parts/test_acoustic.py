import dataclasses
import functools
import itertools

import jax
import numpy as np
import pytest

from vast_jax import audio
from vast_jax.data.labels import UNLABELLED, Utterance, read, said, write
from vast_jax.models import ctc
from vast_jax.models.acoustic_transformer import AcousticTransformer
from vast_jax.models.recogniser import Recogniser, load_acoustic
from vast_jax.parts import acoustic
from vast_jax.parts.acoustic import TEACHER, AcousticPart
from vast_jax.training import Config
from vast_jax.training.step import init_state, train_step
from vast_jax.types import UserError
from vast_jax.weights import exports

STEPS = 240
PART = AcousticPart(context=1, dense=24, width=24, dilations=(1, 2), ahead=(0, 1), window=10, learning_rate=1e-2)


def tone(pitch: float, frames: int) -> np.ndarray:
    return np.round(6000 * np.sin(2 * np.pi * pitch * np.arange(frames * 640) / 16000)).astype(np.int16)


def first(dataset) -> dict:
    return next(iter(dataset))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Three "phones": a low tone, a high tone and silence, half a second each."""
    sounds = [(tone(300, 12), 2), (tone(3000, 12), 7), (np.zeros(12 * 640, np.int16), audio.SILENCE)]
    rng = np.random.default_rng(0)

    def utterance(name: str) -> Utterance:
        order = rng.permutation(3)
        speech = np.concatenate([sounds[i][0] for i in order])
        labels = np.concatenate([np.full(24, sounds[i][1], np.uint8) for i in order])
        phones = said(labels)
        labels[rng.integers(len(labels))] = UNLABELLED
        return Utterance(name, speech, labels, phones)

    directory = tmp_path_factory.mktemp("data") / "labels"
    splits = {"train": [utterance(f"tones/{i}") for i in range(6)], "held_out": [utterance("tones/held")]}
    write(splits, directory)
    return directory


def test_batches_are_seeded_and_whole(data):
    batch, again = (first(PART.dataset(data, "train", 4, seed=3)) for _ in range(2))
    assert batch["fbank"].shape == (4, 20, audio.MELS) and batch["fbank"].dtype == np.float32
    assert batch["labels"].shape == batch["mask"].shape == (4, 20)
    for name in batch:
        np.testing.assert_array_equal(batch[name], again[name])
    assert not np.array_equal(batch["fbank"], first(PART.dataset(data, "train", 4, seed=4))["fbank"])


def test_unlabelled_and_masked_frames_do_not_count(data):
    batch = first(PART.dataset(data, "train", 4, seed=0))
    part = PART.players(PART.constants(data))
    params = part.init(jax.random.key(0), batch)
    loss = functools.partial(part.losses["acoustic"], params, key=None, progress=0.0)
    batch["labels"] = batch["labels"].copy()
    batch["labels"][:, 10:] = UNLABELLED
    kept = loss(batch)[0]
    relabelled = {**batch, "labels": np.where(np.arange(20) >= 10, 5, batch["labels"])}
    assert loss(relabelled)[0] != kept
    # masked frames are also unseen: only what lies beyond the view of the first frames stays the same
    batch["mask"] = np.arange(20)[None].repeat(4, 0) < 14
    assert np.isfinite(loss(batch)[0])
    batch["fbank"] = np.where(batch["mask"][..., None], batch["fbank"], 1e6).astype(np.float32)
    assert np.isfinite(loss(batch)[0])


@pytest.mark.parametrize("spread", [0, 1, 2])
def test_what_is_wanted_of_a_frame_is_the_mean_of_the_labels_around(spread):
    rng = np.random.default_rng(spread)
    logits, labels = rng.normal(size=(2, 9, 41)).astype(np.float32), rng.integers(0, 41, (2, 9)).astype(np.uint8)
    labels[0, 4], mask = UNLABELLED, np.arange(9) < [[9], [6]]
    known = mask & (labels != UNLABELLED)
    found, _ = acoustic._by_frame(logits, dict(labels=labels, mask=mask), spread)

    losses = []
    for example, phones, use in zip(logits.astype(np.float64), labels, known, strict=True):
        costs = np.log(np.exp(example).sum(-1, keepdims=True)) - example
        for t in np.flatnonzero(use):
            around = [u for u in range(max(0, t - spread), min(9, t + spread + 1)) if use[u]]
            losses.append(np.mean([costs[t, phones[u]] for u in around]))
    assert float(found) == pytest.approx(np.mean(losses), rel=1e-5)


def test_learns_exports_and_reports(data, tmp_path):
    constants, batches = PART.constants(data), iter(PART.dataset(data, "train", 8, seed=0))
    part, optimisers = PART.players(constants), PART.optimisers(STEPS)
    state = init_state(Config(part=PART, steps=STEPS, batch_size=8), part, next(batches))
    step = jax.jit(functools.partial(train_step, part, optimisers, STEPS))
    losses = []
    for _ in range(STEPS):
        state, metrics = step(state, next(batches))
        losses.append(float(metrics["acoustic/loss"]))
    assert np.mean(losses[-5:]) < 0.5 * losses[0]

    params = jax.device_get(state.params)
    figures = PART.report(params, constants, data, tmp_path, STEPS)
    assert figures["accuracy_tones"] > 0.8 and figures["without_speech_digital_silence"] > 0.5
    assert figures["near_tones"] >= figures["accuracy_tones"] and figures["robust_clean"] > 0.8
    assert {path.name for path in tmp_path.glob("*.png")} == {"tones.png", "confusion.png"}

    PART.export(params, constants, tmp_path / "export", data, figures)
    recogniser = load_acoustic(tmp_path / "export")
    _, card = exports.load(tmp_path / "export")
    assert recogniser.hash == card["sha256"] and card["data"] == "tones (0.00 h)"
    ppg = recogniser(tone(300, 25).astype(np.float32) / 32768, 25)
    assert ppg.shape == (25, 41) and (ppg[2:-2].argmax(-1) == 2).mean() > 0.8


def test_a_lookahead_for_every_convolution():
    with pytest.raises(UserError, match="2 dilations"):
        AcousticPart(dilations=(1, 2)).module()


def test_the_papers_layer_along_time_fits_the_loop(data):
    part = AcousticPart(network="lstm", context=1, dense=8, width=8, window=5)
    batch = first(part.dataset(data, "train", 2, seed=0))
    trained = part.players(part.constants(data))
    start = functools.partial(init_state, Config(part=part, steps=2, batch_size=2), trained)
    step = functools.partial(train_step, trained, part.optimisers(2), 2)
    state = jax.eval_shape(start, batch)  # traced only: compiling its gradient takes half a minute
    after, _ = jax.eval_shape(step, state, batch)
    assert jax.tree.map(np.shape, after.params) == jax.tree.map(np.shape, state.params)


@pytest.fixture(scope="module")
def taught(data, tmp_path_factory):
    """A part of one layer, and its own first weights as a teacher that hears all."""
    folder = tmp_path_factory.mktemp("teacher")
    part = AcousticPart(network="transformer", hidden=16, layer_ahead=(2,), window=6, teacher=str(folder))
    teacher = AcousticTransformer(hidden=16, back=None, ahead=(0,), classes=1)
    params = teacher.init(jax.random.key(1), np.zeros((1, 8, audio.MELS)), np.ones((1, 4), bool))["params"]
    config = dict(hidden=16, back=None, ahead=(0,), classes=1)
    exports.export(folder, TEACHER, {TEACHER: params}, dict(part=TEACHER, config=config), np.float32)
    return part, params


def test_a_layer_is_taught_by_itself_hearing_all(data, taught):
    part, teacher = taught
    batch = first(part.dataset(data, "train", 3, seed=0))
    assert batch["clean"].shape == batch["fbank"].shape and batch["same"].shape == batch["labels"].shape
    assert not np.array_equal(batch["clean"], batch["fbank"])
    built = part.players(part.constants(""))
    params = built.init(jax.random.key(0), batch)

    def apart(params, batch):
        return float(built.losses["acoustic"](params, batch, None, 0.0)[1]["apart"])

    learner = {**params["acoustic"], **teacher, "position": teacher["position"][0]}
    learner["Dense_2"] = params["acoustic"]["Dense_2"]
    learner["attention_0"] = {**teacher["attention_0"], "bias": np.zeros((6, 53), np.float32)}
    few = {name: array[:, : 4 if name == "fbank" else 2] for name, array in batch.items()}  # all is within reach
    few |= {"clean": few["fbank"], "same": np.ones_like(few["same"]), "mask": np.ones_like(few["mask"])}
    few["clean"] = few["fbank"] = batch["fbank"][:, :4]
    assert apart({"acoustic": learner}, few) < 1e-6  # the same weights say the same
    assert apart({"acoustic": learner}, few | {"clean": batch["clean"][:, 8:12]}) > 1e-3
    other = few | {"same": np.zeros_like(few["same"]), "clean": batch["clean"][:, 8:12]}
    assert apart({"acoustic": learner}, other) == 0  # where something else is said, nothing is learned from it


def test_ctc_is_taught_too(data, taught):
    part = dataclasses.replace(taught[0], ctc=True, window=60)
    batch = first(part.dataset(data, "train", 2, seed=0))
    built = part.players(part.constants(""))
    params = built.init(jax.random.key(0), batch)
    loss, metrics = built.losses["acoustic"](params, batch, None, 0.0)
    alone = dataclasses.replace(part, teacher=None)
    expected, _ = alone.players(alone.constants("")).losses["acoustic"](params, batch, None, 0.0)
    assert metrics["apart"] > 0
    np.testing.assert_allclose(loss, expected + part.teaching * metrics["apart"], rtol=1e-5)


def test_what_cannot_teach_is_said(data, taught):
    part = dataclasses.replace(taught[0], layer_ahead=(2, 2))
    with pytest.raises(UserError, match="no teacher of a Transformer of 2 layers"):
        part.players(part.constants(""))
    part = dataclasses.replace(taught[0], window=751)
    with pytest.raises(UserError, match="hears 750 video frames"):
        part.players(part.constants(""))


def test_ctc_sums_over_all_times_of_the_phones(data):
    part = dataclasses.replace(PART, ctc=True, window=54)
    constants, batch = part.constants(data), first(part.dataset(data, "train", 4, seed=0))
    assert batch["phones"].shape == (4, 54) and "labels" not in batch
    assert all(sorted(phones[phones != UNLABELLED]) == [2, 7] for phones in batch["phones"])

    short = {name: value[:2, :6] for name, value in batch.items()}
    module, trained = part.module(), part.players(constants)
    params = trained.init(jax.random.key(0), short)
    fbank = (short["fbank"] - constants["mean"]) / constants["std"]
    logits = module.apply({"params": params["acoustic"]}, fbank, short["mask"])
    probabilities = np.asarray(jax.nn.softmax(logits), np.float64)
    total = 0.0
    for example, phones in zip(probabilities, short["phones"], strict=True):
        said = [int(phone) for phone in phones if phone != UNLABELLED]
        paths = [p for p in itertools.product([*said, module.blank], repeat=6) if ctc.collapse(p, module.blank) == said]
        total -= np.log(sum(example[np.arange(6), path].prod() for path in paths))
    loss, _ = trained.losses["acoustic"](params, short, None, 0.0)
    assert float(loss) == pytest.approx(total / 4, rel=1e-4)

    recogniser = Recogniser(module, params["acoustic"], constants, hash="")
    posteriors = recogniser.posteriors(np.zeros(640 * 3, np.float32))
    assert posteriors.shape == (6, len(audio.PHONES))
    np.testing.assert_allclose(posteriors.sum(-1), 1, rtol=1e-5)


def test_too_short_a_window_for_ctc_is_said(data):
    with pytest.raises(UserError, match="window"):
        dataclasses.replace(PART, ctc=True, window=20).dataset(data, "train", 2, seed=0)


def test_corpora_are_balanced(tmp_path):
    def utterance(name: str, seconds: int) -> Utterance:
        return Utterance(name, np.zeros(16000 * seconds, np.int16), np.zeros(50 * seconds, np.uint8), np.zeros(0, "u1"))

    write({"train": [utterance(f"large/{i}", 8) for i in range(32)]}, tmp_path / "large")
    write({"train": [utterance(f"small/{i}", 8) for i in range(2)]}, tmp_path / "small")
    utterances = read(tmp_path, "train")
    assert utterances.corpora() == {"large": list(range(32)), "small": [32, 33]}
    for balance, expected in ((1.0, 2 / 34), (0.5, 0.2), (0.0, 0.5)):
        draws = dataclasses.replace(PART, window=100, balance=balance)._draws(utterances)
        assert (draws >= 32).mean() == pytest.approx(expected, abs=0.01)
        assert len(np.unique(draws)) == 34
