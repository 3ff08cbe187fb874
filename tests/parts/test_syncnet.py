"""SyncNet is trained here on made-up talkers whose mouths are as open as their speech is loud."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_params import random_weights

from vast_jax.audio import SAMPLES_PER_FRAME
from vast_jax.data import pipeline
from vast_jax.data.clips import Clip, encode_jpeg
from vast_jax.face.landmarks import OUTER_EYE_CORNERS
from vast_jax.face.mouth_crop import LIP_CORNERS
from vast_jax.metrics import sync, sync_assessment
from vast_jax.parts import syncnet_data
from vast_jax.parts.syncnet import SyncNetPart
from vast_jax.training import loop
from vast_jax.types import FaceTrack, UserError

TINY = SyncNetPart(
    picture_widths=(8, 8, 8, 8), sound_widths=(8, 8, 8), hidden=32, embedding=16, dropout=0.0, window=36,
    learning_rate=3e-3, temperature=0.2,
)  # fmt: skip
FACE = {OUTER_EYE_CORNERS[0]: (92, 112), OUTER_EYE_CORNERS[1]: (164, 112), LIP_CORNERS[0]: (108, 170)}
FACE[LIP_CORNERS[1]] = (148, 170)


def talker(name: str, person: str, frames: int = 60, seed: int = 0, late: int = 0, **fields) -> Clip:
    rng = np.random.default_rng(seed)
    loud = np.repeat(rng.uniform(0, 1, frames // 2 + 1), 2)[:frames]
    points = np.zeros((frames, 478, 3), np.float32)
    for index, place in FACE.items():
        points[:, index, :2] = place
    pictures = []
    for share in loud:
        picture = np.full((256, 256, 3), 150, np.uint8)
        picture[170 - round(20 * share) : 171 + round(20 * share), 108:148] = 20
        pictures.append(encode_jpeg(picture))
    noise = rng.normal(size=frames * SAMPLES_PER_FRAME)
    speech = sync_assessment.move(noise * 0.2 * np.repeat(loud**2 + 1e-3, SAMPLES_PER_FRAME), late)
    nothing = np.zeros((frames, 1), np.float32)
    track = FaceTrack(
        identity=np.zeros(1), expression=nothing, rotation=nothing, translation=nothing, gaze=nothing,
        landmarks=points, valid=np.ones(frames, bool), crop=np.array([0, 0, 256]), source_size=np.array([256, 256]),
        focal=300.0, fps=25.0, face_model="",
    )  # fmt: skip
    values = dict(
        name=name, person=person, fingerprint="", track=track, has_speech=True, ppg=nothing, ppg_hash="",
        jpegs=pictures, speech_int16=(np.clip(speech, -1, 1) * 32767).astype(np.int16),
    )  # fmt: skip
    return Clip(**(values | fields))


@pytest.fixture(scope="module")
def clips():
    train = [talker(f"grid/s1/{i}", "s1", seed=i) for i in range(4)]
    train += [talker(f"a/b/{i}", f"p{i}", seed=10 + i) for i in range(3)]
    train.append(talker("grid/others/x", "x", seed=20))
    held_out = [talker(f"grid/s1/h{i}", "s1", seed=30 + i) for i in range(2)]
    return {"train": pipeline.Clips(train), "held_out": pipeline.Clips([*held_out, talker("a/c/0", "q", seed=40)])}


@pytest.fixture
def opened(clips, monkeypatch):
    for module in (pipeline, sync_assessment):
        monkeypatch.setattr(module, "open_clips", lambda data_dir, split="train": clips[split])
    return clips


def test_examples_show_and_sound_the_same_moment(clips):
    make = syncnet_data.Examples(clips["train"], 36, 0.5)
    rng = np.random.default_rng(0)
    agreement = []
    for _ in range(12):
        example = make(0, rng)
        assert example["frames"].shape == (36, 96, 96) and example["frames"].dtype == np.uint8
        assert example["sound"].shape == (72, 80) and example["sound"].dtype == np.float32
        # An open mouth is dark.
        opening = -example["frames"].reshape(36, -1).mean(1)
        loudness = example["sound"].reshape(36, -1).mean(1)
        agreement.append([np.corrcoef(np.roll(loudness, by), opening)[0, 1] for by in (0, 6)])
    here, elsewhere = np.mean(agreement, 0)
    assert here > 0.6 and here > elsewhere + 0.4


def test_people_share_the_examples_and_some_are_left_out(clips):
    kept = syncnet_data.suitable(clips["train"], 36, ("grid/others/*",))
    assert {clip.person for clip in kept} == {"s1", "p0", "p1", "p2"}
    assert not syncnet_data.suitable(clips["train"], 61)
    silent = [dataclasses.replace(clip, has_speech=False) for clip in kept]
    assert not syncnet_data.suitable(silent, 36)
    make = syncnet_data.Examples(kept, 36, 0.3)
    shares = dict(zip((clip.person for clip in kept), make.share, strict=True))
    assert make.share[:4].sum() == pytest.approx(0.3) and shares["p0"] == pytest.approx(0.7 / 3)


def test_distortion_leaves_the_mouth_in_the_picture_and_time_alone():
    frames = np.full((4, 96, 96), 140, np.uint8)
    frames[1::2, 38:58, 28:68] = 10
    rng = np.random.default_rng(0)
    for _ in range(20):
        out = syncnet_data.distort_pictures(frames, rng).astype(float)
        change = np.abs(out[1] - out[0])
        assert change[43:53, 38:58].mean() > 3 * change[:20].mean() + 1
        assert np.abs(out[3] - out[1]).mean() < 10  # alike but for the noise


def test_targets_are_distributions_around_the_moment_that_is_late():
    targets, prior = TINY._targets(12)
    assert targets.shape == (15, 12, 12)
    np.testing.assert_allclose(targets.sum((1, 2)), 1, rtol=1e-5)
    assert float(jnp.exp(prior).sum()) == pytest.approx(1, rel=1e-5)
    three_late = np.asarray(targets[TINY.most_late + 3])
    assert np.flatnonzero(three_late[4] == three_late.max()).tolist() == [7]
    assert np.flatnonzero(three_late[4]).tolist() == [6, 7, 8]


def test_a_clip_that_is_itself_out_of_sync_is_learned_as_such():
    rng = np.random.default_rng(0)
    events = rng.normal(size=(2, 60, 16)).astype(np.float32)
    events /= np.linalg.norm(events, axis=-1, keepdims=True)
    seen, heard = events[:, 10:42], np.stack([events[0, 10:42], events[1, 6:38]])  # the second is 4 late

    class Told:
        def apply(self, variables, frames, sound, key):
            return frames, sound + variables["params"]

    object.__setattr__(told := dataclasses.replace(TINY, neighbour=0.0), "module", Told)
    loss = told.players({}).losses["syncnet"]
    batch = {"frames": np.asarray(seen), "sound": np.asarray(heard)}
    value, metrics = loss({"syncnet": jnp.zeros(16)}, batch, None, 0.0)
    assert metrics["late"] == 0.5 and metrics["window_accuracy"] > 0.9 and metrics["own"] < 1.0
    strict = dataclasses.replace(TINY, neighbour=0.0, most_late=0)
    object.__setattr__(strict, "module", Told)
    worse, metrics = strict.players({}).losses["syncnet"]({"syncnet": jnp.zeros(16)}, batch, None, 0.0)
    assert worse > value + 1 and metrics["late"] == 0


def test_the_first_loss_is_the_golden_one():
    rng = np.random.default_rng(0)
    batch = {
        "frames": rng.integers(0, 256, (2, 36, 96, 96), np.uint8),
        "sound": rng.normal(size=(2, 72, 80)).astype(np.float32),
    }
    part = TINY.players({})
    params = {"syncnet": random_weights(TINY.module(), batch["frames"], batch["sound"])["params"]}
    value, metrics = jax.jit(part.losses["syncnet"])(params, batch, jax.random.key(0), 0.0)
    found = [float(value), float(metrics["own"]), float(metrics["others"])]
    np.testing.assert_allclose(found, (4.82445, 3.54930, 4.25052), rtol=1e-3)


def test_training_finds_what_sounds_as_it_looks_and_exports_it(opened, monkeypatch, tmp_path):
    monkeypatch.setattr(syncnet_data, "distort_pictures", lambda frames, rng: frames)  # learns in seconds
    part = dataclasses.replace(TINY, learning_rate=1e-3)
    config = loop.Config(part=part, steps=36, batch_size=4, log_every=10, eval_every=0, save_every=0)
    loop.fit(config, tmp_path, tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    losses = [line["syncnet/own"] for line in lines if "syncnet/own" in line]
    assert losses[-1] < losses[0] - 0.4
    evaluated = [line for line in lines if "eval/known_clips" in line][-1]
    assert evaluated["eval/known_clips"] == 2 and evaluated["eval/unseen_clips"] == 2
    assert evaluated["eval/known_moved_within_1"] == 1 and evaluated["eval/unrelated"] > 0
    assert list((tmp_path / "run" / "eval").glob("*/curves_known.png"))
    model = sync.load_sync(tmp_path / "run" / "export")
    assert model.card["data"] == "a/b, grid/s1" and model.card["licence"].startswith("research only")
    assert model.card["left_out"] == ["grid/others/*"] and model.unrelated == pytest.approx(evaluated["eval/unrelated"])
    clip = opened["held_out"][0]
    found = sync.measure(model, syncnet_data.clip_crops(clip), sync_assessment.move(clip.speech, 3))
    assert found.offset == 3


def test_only_grid_clips_leave_the_weights_free(opened, monkeypatch, tmp_path):
    grid = pipeline.Clips([clip for clip in opened["train"] if clip.name.startswith("grid/s1")])
    monkeypatch.setattr(pipeline, "open_clips", lambda data_dir, split="train": grid)
    TINY.export({"syncnet": {"a": np.zeros(2)}}, {}, tmp_path, tmp_path, {})
    card = json.loads((tmp_path / "syncnet.json").read_text())
    assert card["licence"].startswith("CC-BY") and card["data"] == "grid/s1"


def test_data_without_speech_is_refused(opened, monkeypatch):
    silent = pipeline.Clips([dataclasses.replace(clip, has_speech=False) for clip in opened["train"]])
    monkeypatch.setattr(pipeline, "open_clips", lambda data_dir, split="train": silent)
    with pytest.raises(UserError, match="none of its 8 train clips has speech"):
        TINY.dataset("data", "train", 2, 0)
