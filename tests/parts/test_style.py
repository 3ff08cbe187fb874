"""Style transfer is trained here on made-up talkers."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
from random_params import random_like
from talkers import FACE, JAW, SMILE, D, P, talker

from vast_jax.audio import PHONES, SILENCE
from vast_jax.data import pipeline
from vast_jax.face.model import landmark_basis, load_face_model, save_face_model, without_learned
from vast_jax.face_models.spreading import MESH_LANDMARKS, Spreader
from vast_jax.metrics import landmarks as metrics_landmarks
from vast_jax.metrics.expression import mesh_lip_aperture
from vast_jax.models.style_model import StyleModel, load_style_model
from vast_jax.parts import style_constants, style_data
from vast_jax.parts.style import StylePart
from vast_jax.training.config import read_config
from vast_jax.types import UserError
from vast_jax.weights import exports

SMALL = StylePart(
    d_style=8, encoder_channels=(16, 16, 16, 16), encoder_state=16, strong_width=32, strong_layers=1, strong_heads=2,
    attention_window=16, weak_width=16, example_frames=48,
)  # fmt: skip


@pytest.fixture(scope="module")
def clips():
    talkers = [("grid/s1", "s1", 0.1), ("a/b", "smiler", 0.7), ("a/c", "neutral", 0.2), ("a/d", "half", 0.45)]
    train = [
        talker(f"{folder}/{i}", person, smile, seed=10 * t + i)
        for t, (folder, person, smile) in enumerate(talkers)
        for i in range(4)
    ]
    held_out = [
        talker(f"{c.name}x", c.person, c.track.expression[0, SMILE], 80, 100 + i) for i, c in enumerate(train[::2])
    ]
    return {"train": pipeline.Clips(train), "held_out": pipeline.Clips(held_out)}


@pytest.fixture
def opened(clips, monkeypatch):
    monkeypatch.setattr(pipeline, "open_clips", lambda data_dir, split="train": clips[split])
    return clips


def test_examples_are_masked_windows_with_prompts_of_the_same_manner(clips):
    make = style_data.Examples(clips["train"], FACE.expression_names, 96, other_window=1.0, grid_share=0.5)
    rng = np.random.default_rng(0)
    grid = 0
    for index in range(60):
        example = make(index, rng)
        assert {name: value.shape for name, value in example.items() if not name.startswith("prompt")} == {
            "expression": (96, D), "ppg": (96, P), "mask": (96,), "valid": (96,),
        }  # fmt: skip
        length = example["mask"].sum()
        assert length == 75 and example["mask"][:75].all()
        assert not example["expression"][length:].any()
        smiles = [example[k][0, [SMILE, SMILE + 1]].max() for k in ("expression", "prompt_expression")]
        assert smiles[0] == pytest.approx(smiles[1], abs=0.15)
        grid += smiles[0] < 0.15
    assert 18 < grid < 42


def test_paired_prompts_are_the_target_itself(clips):
    make = style_data.Examples(clips["train"], ("corrective_1", *FACE.expression_names[1:]), 48, 0.0, 0.5)
    example = make(0, np.random.default_rng(0))
    length = example["prompt_mask"].sum()
    assert 32 <= length <= 48
    np.testing.assert_array_equal(example["prompt_expression"][:length], example["expression"][:length])


def test_at_its_own_pace_a_frame_is_itself_alone():
    """A lost face makes its own frame invalid, not the one before it."""
    clip = talker("a/b/c", "x", 0.1, frames=60)
    valid = np.arange(60) != 30
    clip = dataclasses.replace(clip, track=clip.track._replace(valid=valid))
    example = style_data.Examples([clip], ("corrective_1",) * D, 60, 0.0, 0.5)(0, np.random.default_rng(0))
    np.testing.assert_array_equal(example["valid"], valid)
    np.testing.assert_array_equal(example["expression"], clip.track.expression)


def test_stretch_and_amplitude_change_example_and_prompt_alike():
    """A ramp keeps its form: its slope is the pace times the amplitude, its PPG a distribution, its mean the clip's."""
    clip = talker("a/b/c", "x", 0.1, frames=200)
    ramp = np.repeat(np.linspace(0, 1, 200, dtype=np.float32)[:, None], D, axis=1)
    clip = dataclasses.replace(clip, track=clip.track._replace(expression=ramp))
    make = style_data.Examples([clip], ("corrective_1",) * D, 48, 0.0, 0.5, stretch=0.3, amplitude=0.5)
    factors = []
    for index in range(20):
        example = make(index, np.random.default_rng(index))
        n, m = int(example["mask"].sum()), int(example["prompt_mask"].sum())
        target, prompt = example["expression"][:n, 0], example["prompt_expression"][:m, 0]
        slopes = 199 * np.diff(target)
        np.testing.assert_allclose(slopes, slopes[0], atol=1e-2)
        np.testing.assert_allclose(prompt, target[:m], atol=1e-5)
        np.testing.assert_allclose(example["ppg"][:n].sum(-1), 1, atol=1e-5)
        factors.append(slopes[0])
    assert np.ptp(factors) > 0.5 and np.exp(-0.8) < min(factors) and max(factors) < np.exp(0.8)


def test_where_speech_stops_the_mouth_shuts_and_the_rest_goes_on():
    clip = talker("a/b/c", "x", 0.3, frames=120)
    gap = np.eye(D, dtype=np.float32)[JAW]
    brow = FACE.expression_names.index("browInnerUp")
    make = style_data.Examples([clip], FACE.expression_names, 96, 0.0, 0.5, muted=1.0, strong=[JAW], lip_gap=gap)
    spoken = style_data.Examples([clip], FACE.expression_names, 96, 0.0, 0.5)
    shares = []
    for seed in range(30):
        example = make(0, np.random.default_rng(seed))
        n = int(example["mask"].sum())
        silent = example["ppg"][:n, SILENCE] == np.float32(0.98)
        np.testing.assert_allclose(example["ppg"][:n].sum(-1), 1, atol=1e-5)
        assert (np.diff(np.flatnonzero(silent)) == 1).all()  # one stretch
        np.testing.assert_allclose(example["expression"][:n][silent, JAW], 0.1, atol=1e-3)  # this clip's shut mouth
        assert example["expression"][:n, brow].std() > 0.01
        shares.append(silent.mean())
        heard = example["prompt_ppg"][: int(example["prompt_mask"].sum()), SILENCE]
        assert not (heard == np.float32(0.98)).any()
    assert min(shares) < 0.2 and max(shares) > 0.8 and min(shares) > 0
    assert not (spoken(0, np.random.default_rng(0))["ppg"] == np.float32(0.98)).any()


def test_only_some_corpora_may_teach(opened):
    grid = dataclasses.replace(SMALL, corpora="grid/")
    assert {clip.person for clip in grid._clips("anywhere", "train")} == {"s1"}
    assert {clip.person for clip in grid._clips("anywhere", "held_out")} == {c.person for c in opened["held_out"]}


def test_shares_keep_a_large_corpus_from_drowning_the_rest():
    clips = [talker(f"grid/s1/{i}", "s1", 0.1) for i in range(9)] + [talker("a/b/c", "x", 0.1, frames=300)]
    share = style_data.shares(clips, 0.5)
    assert share[-1] == pytest.approx(0.5)
    assert share.sum() == pytest.approx(1)
    assert style_data.shares(clips[:9], 0.5).sum() == pytest.approx(1)


def test_mirroring_swaps_sides_and_is_its_own_inverse():
    names = ("jawLeft", "mouthSmileLeft", "jawOpen", "jawRight", "mouthSmileRight", "eyeLookInLeft", "eyeLookInRight")
    names += ("corrective01", "correctiveOdd02")
    index, sign = style_data.mirror(names)
    assert [names[i] for i in index[:3]] == ["jawRight", "mouthSmileRight", "jawOpen"]
    np.testing.assert_array_equal(index[index], np.arange(len(names)))
    np.testing.assert_array_equal(index[-2:], [7, 8])
    np.testing.assert_array_equal(sign, [1] * 8 + [-1])
    assert style_data.mirror((*names, "component_1")) is None
    assert style_data.mirror(names[:2]) is None


def test_the_mirror_of_an_expression_is_the_mirror_of_its_mesh():
    face = load_face_model()
    index, sign = style_data.mirror(face.expression_names)
    expression = np.random.default_rng(0).uniform(-0.3, 0.6, (1, len(index))).astype(np.float32)
    basis = landmark_basis(face).expression[:, list(metrics_landmarks.IBUG_68)]
    before, after = (np.einsum("d,dlc->lc", e[0], basis) for e in (expression, expression[:, index] * sign))
    left, right = [36, 39, 48, 17, 31], [45, 42, 54, 26, 35]  # outer and inner eye corners, mouth, brow, nostril
    scale = np.abs(before).max()
    np.testing.assert_allclose(after[left] * [-1, 1, 1], before[right], atol=0.1 * scale)


def test_clips_that_cannot_teach_are_left_out():
    still = np.zeros(75, bool)
    bad = [
        talker("a/b/1", "x", 0.1, frames=20),
        talker("a/b/2", "x", 0.1, has_speech=False),
        talker("a/b/3", "x", 0.1, track=talker("a", "x", 0.1).track._replace(valid=still)),
    ]
    good = talker("a/b/4", "x", 0.1)
    assert style_data.usable([*bad, good]) == [good]


def test_constants_weigh_parameters_by_what_they_move(opened):
    constants = SMALL.constants("anywhere")
    assert constants["std"].min() == pytest.approx(0.02, abs=1e-3)
    assert constants["weight"].mean() == pytest.approx(1, abs=1e-5)
    assert constants["weight"][JAW] > 2
    np.testing.assert_array_equal(np.sort([*constants["strong"], *constants["weak"]]), np.arange(D))
    assert JAW in constants["strong"]
    assert np.abs(constants["lips"][JAW]).max() > 0.5  # its standard deviation moves the lips by about one of theirs


def test_clips_of_another_face_model_are_refused(monkeypatch):
    clip = talker("a/b/c", "x", 0.1)
    other = dataclasses.replace(clip, track=clip.track._replace(face_model="another"))
    monkeypatch.setattr(pipeline, "open_clips", lambda data_dir, split="train": pipeline.Clips([other]))
    with pytest.raises(UserError, match="face model"):
        SMALL.constants("anywhere")


@pytest.fixture
def face233(tmp_path):
    """The shipped head with random smooth shapes up to the paper's 233 parameters."""
    bare = without_learned(FACE)
    count = 233 - len(bare.expression_names)
    fields = np.random.default_rng(0).normal(0, 0.4, (count, MESH_LANDMARKS, 3))
    shapes = Spreader(bare)(fields)
    names = [f"corrective{k:03d}" for k in range(count)]
    path = tmp_path / "head233.npz"
    save_face_model(path, bare.extended(np.zeros((0, *bare.neutral.shape)), shapes, names))
    return path


def test_the_papers_preset_has_85_strong_and_148_weak_parameters(face233, monkeypatch):
    preset = read_config(Path(__file__).parents[2] / "configs" / "style_paper.py").part
    face = load_face_model(face233)
    clip = talker("a/b/c", "x", 0.1, frames=48)
    expression = np.random.default_rng(0).normal(0, 0.1, (48, 233)).astype(np.float32)
    track = clip.track._replace(expression=expression, face_model=face.hash)
    clips = pipeline.Clips([dataclasses.replace(clip, track=track)])
    monkeypatch.setattr(pipeline, "open_clips", lambda data_dir, split="train": clips)
    small = dataclasses.replace(
        preset, face_model=str(face233), encoder_channels=(8, 8, 8, 8), encoder_state=8, strong_width=16,
        strong_layers=1, weak_width=16, example_frames=24,
    )  # fmt: skip
    constants = small.constants("anywhere")
    assert (len(constants["strong"]), len(constants["weak"])) == (85, 148)
    part, batch = small.players(constants), next(iter(small.dataset("anywhere", "train", 2, 0)))
    assert batch["expression"].shape == (2, 24, 233)
    params = jax.jit(part.init)(jax.random.key(0), batch)
    loss, grads = jax.jit(jax.value_and_grad(lambda p: part.losses["style"](p, batch, jax.random.key(1), 0.5)[0]))(
        params
    )
    assert np.isfinite(loss) and all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))


@pytest.mark.parametrize(
    "changed",
    [
        {},
        dict(lively=False, modulated=False, statistics_weight=0.0),
        dict(autoregressive=False),
        dict(style_source="statistics", variational=False),
        dict(style_source="none"),
    ],
    ids=["ours", "nothing drawn", "one decoder", "statistics code", "no style"],
)
def test_other_forms_have_a_finite_loss_and_speak(opened, changed):
    part = dataclasses.replace(SMALL, **changed)
    constants = part.constants("anywhere")
    batch = next(iter(part.dataset("anywhere", "train", 2, 0)))
    trained, module = part.players(constants), part.module(constants)
    params = random_like(jax.eval_shape(trained.init, jax.random.key(0), batch))
    loss, metrics = jax.jit(lambda p: trained.losses["style"](p, batch, jax.random.key(1), 0.5))(params)
    assert np.isfinite(loss) and all(np.isfinite(float(value)) for value in metrics.values())
    assert ("blinking" in metrics) == (part.lively and part.autoregressive)
    assert ("statistics" in metrics) == (part.statistics_weight > 0)
    model = StyleModel(module, params["style"], constants)
    clip = opened["train"][0]
    style = model.encode(clip.track.expression, clip.ppg)
    assert style.shape == (module.width_of_style,)
    assert model.decode(clip.ppg, style).shape == clip.track.expression.shape


@pytest.mark.slow
def test_training_lowers_the_loss_then_reports_and_exports(opened, tmp_path):
    constants = SMALL.constants("anywhere")
    part, data = SMALL.players(constants), iter(SMALL.dataset("anywhere", "train", 8, 0))
    params = jax.jit(part.init)(jax.random.key(0), next(data))["style"]
    optimiser = optax.adam(3e-3)
    state = optimiser.init(params)

    @jax.jit
    def step(params, state, batch, key):
        loss = lambda own: part.losses["style"]({"style": own}, batch, key, 0.5)  # noqa: E731
        (value, metrics), gradient = jax.value_and_grad(loss, has_aux=True)(params)
        update, state = optimiser.update(gradient, state)
        return optax.apply_updates(params, update), state, value, metrics

    history = []
    for index in range(40):
        params, state, value, metrics = step(params, state, next(data), jax.random.key(index))
        history.append(float(value))
    assert np.mean(history[-5:]) < 0.9 * np.mean(history[:5])
    assert all(np.isfinite(float(metric)) for metric in metrics.values())

    params = jax.device_get({"style": params})
    figures = SMALL.report(params, constants, "anywhere", tmp_path, 40)
    assert all(np.isfinite(list(figures.values())))
    assert figures["style_ratio"] > 0
    assert list(tmp_path.glob("curves_grid*.png")) and list(tmp_path.glob("meshes_a*.png"))

    SMALL.export(params, constants, tmp_path / "export", "anywhere", figures)
    weights, card = exports.load(tmp_path / "export")
    assert card["face_model"] == FACE.hash and card["acoustic_model"] == "an acoustic model"
    assert "research" in card["licence"]
    assert set(weights) == {"style", "constants"}
    model = load_style_model(tmp_path / "export")
    clip = opened["train"][0]
    styles = np.stack([model.encode(other.track.expression, other.ppg) for other in opened["train"]])
    drawn = np.stack([model.draw(seed) for seed in range(200)])
    assert np.abs(drawn.mean(0) - styles.mean(0)).max() < 0.6 and drawn.std(0).sum() < 2 * styles.std(0).sum()
    generated = model.decode(clip.ppg, model.encode(clip.track.expression, clip.ppg))
    assert generated.shape == clip.track.expression.shape


def test_the_closing_of_the_shipped_head_shuts_its_lips(clips):
    """Mouths that open by the jaw alone close by it, until the mesh's lips meet."""
    strong = np.array([JAW, SMILE])
    closing = style_constants.closing(
        FACE, clips["train"], np.full(len(clips["train"]), 1 / len(clips["train"])), strong
    )
    assert closing.way @ closing.gap == pytest.approx(1, abs=1e-5)
    assert np.abs(closing.way).argmax() == JAW and set(np.flatnonzero(closing.way)) <= set(strong)
    ppg = np.zeros((3, P), np.float32)
    ppg[1, PHONES.index("M")] = 1
    opened = np.zeros((3, D), np.float32)
    opened[:, JAW] = 0.5
    gap = mesh_lip_aperture(
        FACE, np.zeros(len(FACE.identity_basis)), closing.close(opened, ppg, 0 * opened, 1 + opened)
    )
    assert gap[1] < 0.1 * mesh_lip_aperture(FACE, np.zeros(len(FACE.identity_basis)), opened)[0]
