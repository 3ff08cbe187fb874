import json

import ml_dtypes
import numpy as np
import pytest

from vast_jax.types import UserError
from vast_jax.weights import exports

PARAMS = {
    "model": {
        "dense": {"kernel": np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4), "bias": np.zeros(4, np.float32)},
        "low": np.asarray([0.5, 1.5], ml_dtypes.bfloat16),
        "large": np.asarray([1e6, 1.0], np.float32),
        "index": np.asarray([3, 70000], np.int32),
        "mask": np.asarray([True, False]),
    },
    "constants": {"mean": np.asarray([0.1, 1234.567], np.float32)},
}
CARD = {"part": "style", "config": {"d_style": 128}, "face_model": "a" * 64, "acoustic_model": None, "data": "GRID"}


def write(folder):
    return exports.export(folder, "style", PARAMS, CARD)


def test_round_trip(tmp_path):
    path = write(tmp_path / "new")
    assert sorted(p.name for p in path.parent.iterdir()) == ["style.json", "style.safetensors"]
    for given in (path, path.parent):
        params, card = exports.load(given)
        dense = params["model"]["dense"]["kernel"]
        np.testing.assert_array_equal(dense, PARAMS["model"]["dense"]["kernel"].astype(np.float16).astype(np.float32))
        assert dense.dtype == params["model"]["low"].dtype == np.float32
        np.testing.assert_array_equal(params["model"]["large"], PARAMS["model"]["large"])  # beyond float16
        np.testing.assert_array_equal(params["constants"]["mean"], PARAMS["constants"]["mean"])  # kept exact
        for name in ("index", "mask"):
            np.testing.assert_array_equal(params["model"][name], PARAMS["model"][name])
            assert params["model"][name].dtype == PARAMS["model"][name].dtype
        assert card["config"] == {"d_style": 128} and card["licence"] == "" and card["version"]


def test_same_weights_same_file(tmp_path):
    assert write(tmp_path / "a").read_bytes() == write(tmp_path / "b").read_bytes()


def test_int8_is_within_half_a_step_of_each_column(tmp_path):
    kernel = np.random.default_rng(0).standard_normal((2, 30, 5)).astype(np.float32) * np.float32([1e-3, 1, 50, 0, 1])
    params = {"model": {"kernel": kernel, "bias": np.float32([0.1, 2, 3])}, "constants": {"mean": kernel[0]}}
    path = exports.export(tmp_path, "style", params, CARD, np.int8)
    assert path.stat().st_size < 2 * 30 * 5 + 4 * 30 * 5 + 1000
    back, _ = exports.load(path)
    error = np.abs(back["model"]["kernel"] - kernel)
    assert (error <= 0.501 * np.abs(kernel).max((0, 1)) / 127).all() and error.any()
    np.testing.assert_array_equal(back["constants"]["mean"], kernel[0])  # kept exact
    np.testing.assert_array_equal(back["model"]["bias"], params["model"]["bias"].astype(np.float16).astype(np.float32))
    assert sorted(back["model"]) == ["bias", "kernel"]


def test_steps_of_another_shape_are_refused(tmp_path):
    """They would be broadcast to any size."""
    params = {"model": {"kernel": np.ones((3, 4), np.int8), "kernel.step": np.ones((1000, 1, 1), np.float32)}}
    with pytest.raises(UserError, match="steps of another shape"):
        exports.load(exports.export(tmp_path, "style", params, CARD, np.float32))


def tamper_weights(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def cut_and_restate(path):
    path.write_bytes(path.read_bytes()[:100])
    card = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps({**card, "sha256": exports.sha256(path)}))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (tamper_weights, "sha256 differs"),
        (cut_and_restate, "not a readable safetensors file"),
        (lambda path: path.with_suffix(".json").unlink(), "style.json must lie beside it"),
        (lambda path: path.with_suffix(".json").write_text("{"), "is not a card"),
        (lambda path: path.with_suffix(".json").write_text("[1]"), "is not a card"),
        (lambda path: path.unlink(), "exactly one .safetensors file .found: none"),
        (lambda path: (path.parent / "b.safetensors").touch(), "found: b.safetensors, style.safetensors"),
    ],
)
def test_damage_is_told(tmp_path, damage, said):
    damage(write(tmp_path))
    with pytest.raises(UserError, match=said):
        exports.load(tmp_path)


@pytest.mark.parametrize("name", ["config", "figures"])
def test_a_card_that_lacks_a_field_has_it_empty_and_one_of_another_type_is_none(tmp_path, name):
    card = write(tmp_path).with_suffix(".json")
    whole = json.loads(card.read_text())
    card.write_text(json.dumps({key: value for key, value in whole.items() if key != name}))
    assert exports.load(tmp_path)[1][name] == {}
    card.write_text(json.dumps(whole | {name: [1]}))
    with pytest.raises(UserError, match="is not a card"):
        exports.load(tmp_path)


def test_missing(tmp_path):
    with pytest.raises(UserError, match="no such file or folder"):
        exports.load(tmp_path / "absent")


def test_expect():
    exports.expect(CARD, part="style", face_model="a" * 64, acoustic_model="b" * 64)
    with pytest.raises(UserError, match="part 'style' where those of 'renderer'"):
        exports.expect(CARD, part="renderer")
    with pytest.raises(UserError, match=r"avatar/x: trained with another face model .aaaaaaaaaaaa, here bbbb"):
        exports.expect(CARD, face_model="b" * 64, source="avatar/x")


def test_overlay_takes_players_or_the_first_one():
    params = {"a": {"w": np.zeros(2)}, "b": {"w": np.zeros(3)}}
    both = exports.overlay(params, {"b": {"w": np.ones(3)}, "constants": {}}, "x")
    assert both["a"]["w"].sum() == 0 and both["b"]["w"].sum() == 3
    assert exports.overlay(params, {"w": np.ones(2)}, "x")["a"]["w"].sum() == 2
    with pytest.raises(UserError, match=r"x do not fit the model: a/w is \(5,\), needed \(2,\)"):
        exports.overlay(params, {"w": np.ones(5)}, "x")
