import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from footage import made_up_clip
from random_params import random_like, random_weights

from vast_jax.face.model import load_face_model
from vast_jax.models.vgg import VGG16
from vast_jax.parts import renderer as part_file
from vast_jax.parts import renderer_data
from vast_jax.parts.renderer import RendererPart
from vast_jax.types import UserError
from vast_jax.weights import exports

SMALL = RendererPart(
    clip_frames=2,
    region=64,
    patch=64,
    widths=(4, 4, 8),
    ppg_features=4,
    discriminator_widths=(4, 4, 4),
    judged_frames=1,
    perceptual_weight=0.0,
)


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    hole = np.zeros((2, 2, 64, 64, 1), np.uint8)
    hole[..., 16:48, 16:48, :], hole[..., 48:50, 16:48, :] = 255, 100
    return {
        "mesh": rng.integers(0, 256, (2, 2, 64, 64, 10), np.uint8),
        "frames": rng.integers(0, 256, (2, 2, 64, 64, 3), np.uint8),
        "hole": hole,
        "ppg": rng.dirichlet(np.ones(41), (2, 2, 9)).astype(np.float32),
        "boxes": np.array([[[30, 20, 44, 44], [20, 18, 26, 28], [20, 34, 26, 46]]] * 2, np.int32),
    }


@pytest.fixture(scope="module")
def params(batch):
    return random_like(jax.eval_shape(SMALL.players({}).init, jax.random.key(0), batch))


@pytest.fixture(scope="module")
def step():
    """(player, params, batch, progress) -> ((loss, metrics), gradient by all params), compiled once a player."""
    part = SMALL.players({})

    def compiled(loss):
        return jax.jit(jax.value_and_grad(lambda *args: loss(*args[:2], jax.random.key(1), args[2]), has_aux=True))

    players = {player: compiled(loss) for player, loss in part.losses.items()}
    return lambda player, *args: players[player](*args)


def norm(tree):
    return float(sum(jnp.abs(leaf).sum() for leaf in jax.tree.leaves(tree)))


def test_each_player_learns_from_its_own_loss_alone_and_the_adversary_joins_in_gradually(step, params, batch):
    for progress, grown in ((0.2, 0.0), (0.45, 0.5), (0.9, 1.0)):
        (value, metrics), gradient = step("renderer", params, batch, progress)
        weights = {"l1": 10.0, "coarse": 10.0, "gan": 0.1 * grown, "matching": 2.0 * grown}
        assert float(value) == pytest.approx(float(sum(w * metrics[name] for name, w in weights.items())), rel=1e-5)
        assert min(metrics[name] for name in weights) > 0 and norm(gradient["renderer"]) > 0
        (value, _), gradient = step("discriminator", params, batch, progress)
        assert (value > 0) == (norm(gradient["discriminator"]) > 0) == (grown > 0)
        assert norm(gradient["renderer"]) == 0


def test_a_grey_renderer_and_an_undecided_discriminator_cost_what_they_must(step, params, batch):
    grey = jax.tree.map(np.array, params)
    batch = batch | {"mesh": batch["mesh"] * (np.arange(10) < 6)}  # no face, no colours of its own
    for layer in (grey["renderer"]["head"]["shuffle"], grey["discriminator"]["logits"]):
        for leaf in layer.values():
            leaf[:] = 0
    (_, metrics), _ = step("renderer", grey, batch, 1.0)
    hole = batch["hole"] / 255
    more = np.zeros_like(hole)
    more[:, :, 30:44, 20:44] = more[:, :, 20:26, 18:28] = more[:, :, 20:26, 34:46] = 1
    weight = np.broadcast_to(hole * (1 + SMALL.mouth_weight * more), batch["frames"].shape)
    error = hole * np.abs(batch["frames"] / 127.5 - 1)  # tanh(0) is grey; outside the hole the template stays
    assert metrics["l1"] == pytest.approx((weight * error).sum() / weight.sum(), rel=1e-4)
    assert metrics["gan"] == pytest.approx(np.log(2), rel=1e-5)
    (value, _), _ = step("discriminator", grey, batch, 1.0)
    assert value == pytest.approx(2 * np.log(2), rel=1e-5)


def test_perceptual_loss_is_of_the_pictures_features(monkeypatch):
    weights = random_weights(VGG16(), jnp.zeros((1, 32, 32, 3)))["params"]
    monkeypatch.setattr(part_file, "load_vgg16", lambda: weights)
    perceptual = dataclasses.replace(SMALL, perceptual_weight=1.0)._perceptual()
    real = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)
    assert perceptual(real, real) == 0 < perceptual(0.9 * real, real) < perceptual(0.5 * real, real)
    gradient = jax.grad(lambda target: perceptual(0.9 * real, target))(jnp.asarray(real))
    assert not gradient.any()  # the real picture is not to blame


def test_without_vgg_it_says_so_and_goes_on(monkeypatch, capsys):
    monkeypatch.setattr(part_file, "load_vgg16", lambda: None)
    perceptual = dataclasses.replace(SMALL, perceptual_weight=1.0)._perceptual()
    assert "no perceptual loss" in capsys.readouterr().err
    assert perceptual(None, None) == 0


@pytest.mark.parametrize("field", [{"region": 100}, {"patch": 72 + 4}, {"judged_frames": 3}])
def test_impossible_settings_are_refused(field):
    with pytest.raises(UserError, match="--part"):
        dataclasses.replace(SMALL, **field)


@pytest.fixture
def data(monkeypatch):
    clips = {
        "train": [made_up_clip(f"grid/s1/{name}", 5, seed) for seed, name in enumerate("ab")],
        "held_out": [made_up_clip("grid/s1/c", 3, 2)],
    }
    clips["train"].append(dataclasses.replace(made_up_clip("grid/s2/a", 4), person="s2"))
    monkeypatch.setattr(renderer_data.pipeline, "open_clips", lambda _, split: clips[split])
    renderer_data._clips.cache_clear()
    yield clips
    renderer_data._clips.cache_clear()


def test_footage_is_of_one_person(data):
    assert [clip.name for clip in renderer_data.footage("d", "train", None)] == ["grid/s1/a", "grid/s1/b"]
    assert [clip.person for clip in renderer_data.footage("d", "train", "s2")] == ["s2"]
    with pytest.raises(UserError, match="there are: s1, s2"):
        renderer_data.footage("d", "train", "s3")


def test_batches_are_shown_and_repeat(data):
    part = dataclasses.replace(SMALL, patch=96)
    batches = [next(iter(part.dataset("d", "train", 2, 3))) for _ in range(2)]
    batch = batches[0]
    assert {name: (value.shape, value.dtype.name) for name, value in batch.items()} == {
        "mesh": ((2, 2, 96, 96, 10), "uint8"),
        "frames": ((2, 2, 96, 96, 3), "uint8"),
        "hole": ((2, 2, 96, 96, 1), "uint8"),
        "ppg": ((2, 2, 9, 41), "float32"),
        "boxes": ((2, 3, 4), "int32"),
    }
    assert all(np.array_equal(value, batches[1][name]) for name, value in batch.items())
    with pytest.raises(UserError, match=r"--part\.clip-frames 4"):
        dataclasses.replace(SMALL, clip_frames=20, judged_frames=2).dataset("d", "train", 2, 0)


def test_patches_show_mouth_eyes_and_all_of_the_face_in_its_hole(data):
    clips = data["train"][:2]
    make = renderer_data.Examples(load_face_model(), 2, 96)
    windows, rng = renderer_data.training_windows(clips, 2), np.random.default_rng(0)
    examples = [make(windows[i % len(windows)], rng) for i in range(60)]
    middles = np.array([(e["boxes"][:, :2] + e["boxes"][:, 2:]) / 2 for e in examples])
    mouth, right_eye, left_eye = ((middles > 0) & (middles < 96)).all(-1).mean(0)
    assert 0.5 < mouth < 0.9 and right_eye > 0.2 and left_eye > 0.2
    for example in examples:
        face, hole = example["mesh"][..., 6] > 0, example["hole"][..., 0] == 255
        assert (face & hole).sum() > 0.7 * face.sum()
        features = example["boxes"] + np.outer(renderer_data.MARGINS, (1, 1, -1, -1))
        for top, left, bottom, right in np.clip(features, 0, 96):
            assert hole[:, top:bottom, left:right].all()
        (mouth_top, *_), (_, _, bottom, right), (_, left, *_) = features
        assert mouth_top > bottom and right <= left  # the subject's right is on the left


def test_report_and_export_make_an_avatar(data, params, tmp_path):
    part = dataclasses.replace(SMALL, region=176)
    constants = part.constants("d")
    expression = np.concatenate([clip.track.expression for clip in data["train"][:2]])
    np.testing.assert_allclose(constants["mean_expression"], expression.mean(0), atol=1e-6)
    figures = part.report(params, constants, "d", tmp_path, 10)
    names = {f"{name}_hole{of}" for name in ("l1", "psnr", "ssim") for of in ("", "_mean_expression")}
    assert set(figures) == names and np.isfinite(list(figures.values())).all()
    assert (tmp_path / "grid+s1+c.png").is_file()
    part.export(params, constants, tmp_path / "export", "d", figures)
    assert (tmp_path / "export" / "template").is_dir()


def test_a_new_person_begins_with_the_shipped_renderer_where_it_fits(batch):
    part = RendererPart()
    weights, card = exports.load(part.start_from())
    wanted = jax.eval_shape(part.players({}).init, jax.random.key(0), batch)["renderer"]
    assert jax.tree.map(jnp.shape, weights["renderer"]) == jax.tree.map(jnp.shape, wanted)
    assert card["licence"].startswith("CC-BY-4.0") and "texture" not in weights  # nobody's colours
    assert dataclasses.replace(part, start="scratch").start_from() is None
    assert SMALL.start_from() is None
