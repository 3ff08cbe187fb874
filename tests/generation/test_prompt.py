from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file

from vast_jax.face.model import load_face_model
from vast_jax.generation.prompt import Prompt, load_style, read_prompt, save_style
from vast_jax.share.packing import pack
from vast_jax.types import UserError
from vast_jax.untrusted import read_safetensors

FACE, ACOUSTIC = SimpleNamespace(hash="face", expression_names=range(52)), SimpleNamespace(hash="acoustic")


@pytest.fixture
def prompt():
    random = np.random.default_rng(0)
    return Prompt(
        random.uniform(size=(30, 52)).astype(np.float32),
        random.dirichlet(np.ones(41), 30).astype(np.float32),
        True,
        "face",
        "acoustic",
        "somebody.mp4",
    )


def test_a_style_file_brings_back_the_prompt(tmp_path, prompt):
    save_style(tmp_path / "a.style", prompt)
    read = read_prompt(tmp_path / "a.style", FACE, ACOUSTIC)
    np.testing.assert_allclose(read.expression, prompt.expression, atol=5e-4)  # float16
    np.testing.assert_allclose(read.ppg, prompt.ppg, atol=5e-4)
    assert read[2:] == prompt[2:]
    assert (tmp_path / "a.style").stat().st_size < 10_000


def test_a_style_file_of_other_models_is_refused(tmp_path, prompt):
    save_style(tmp_path / "a.style", prompt)
    with pytest.raises(UserError, match="another face model"):
        read_prompt(tmp_path / "a.style", SimpleNamespace(hash="other"), ACOUSTIC)
    with pytest.raises(UserError, match="another acoustic model"):
        read_prompt(tmp_path / "a.style", FACE, SimpleNamespace(hash="other"))


def test_parameters_are_those_of_the_face_model(tmp_path, prompt):
    save_style(tmp_path / "a.style", prompt._replace(expression=prompt.expression[:, :51]))
    with pytest.raises(UserError, match="not those of its face model"):
        read_prompt(tmp_path / "a.style", FACE, ACOUSTIC)


def test_without_speech_any_acoustic_model_will_do(tmp_path, prompt):
    save_style(tmp_path / "a.style", prompt._replace(has_speech=False))
    assert not read_prompt(tmp_path / "a.style", FACE, SimpleNamespace(hash="other")).has_speech


def test_damaged_and_foreign_files_are_refused(tmp_path, prompt):
    save_style(tmp_path / "a.style", prompt)
    whole = (tmp_path / "a.style").read_bytes()
    (tmp_path / "cut.style").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.style").touch()
    save_file({"x": np.zeros(3)}, tmp_path / "foreign.style")
    for name in ("cut", "empty", "foreign"):
        with pytest.raises(UserError, match=f"{name}.style"):
            load_style(tmp_path / f"{name}.style")
    with pytest.raises(UserError, match="no such file"):
        read_prompt(tmp_path / "none.mp4", FACE, ACOUSTIC)


def test_curves_are_a_prompt_without_sound(tmp_path):
    (tmp_path / "a.csv").write_text("Timecode,jawOpen\n" + "".join(f"{i / 50:.2f},0.25\n" for i in range(60)))
    model = load_face_model()
    prompt = read_prompt(tmp_path / "a.csv", model, ACOUSTIC)
    assert prompt.expression.shape == (30, len(model.expression_names)) and prompt.ppg.shape == (30, 41)
    np.testing.assert_allclose(prompt.expression[:, model.expression_names.index("jawOpen")], 0.25, atol=1e-6)
    assert not prompt.ppg.any() and prompt[2:] == (False, model.hash, "acoustic", "a.csv")
    save_style(tmp_path / "a.style", prompt)
    np.testing.assert_allclose(
        read_prompt(tmp_path / "a.style", model, ACOUSTIC).expression, prompt.expression, atol=1e-3
    )


def resaved(path, change):
    """A style file with its arrays and notes changed, but not the hash among them."""
    arrays, notes = read_safetensors(path)
    change(arrays, notes)
    save_file(arrays, path, metadata=notes)


def one_value(arrays, notes):
    arrays["ppg"][3, 5] += 0.01


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (one_value, "sha256 differs"),
        (lambda arrays, notes: notes.update(source="somebody else"), "sha256 differs"),
        (lambda arrays, notes: notes.pop("source"), "not a style file"),
        (lambda arrays, notes: arrays.update(more=arrays["ppg"]), "other arrays"),
        (lambda arrays, notes: arrays.update(ppg=arrays["ppg"][:, :40]), "40 phones"),
        (lambda arrays, notes: arrays.update(ppg=arrays["ppg"].astype(np.float64)), "other arrays"),
        (lambda arrays, notes: arrays.update(expression=arrays["expression"][:0], ppg=arrays["ppg"][:0]), "unequal"),
        (lambda arrays, notes: arrays["expression"].__setitem__((0, 0), np.nan), "not finite"),
    ],
)
def test_a_style_file_that_is_not_as_it_was_saved_is_refused(tmp_path, prompt, change, said):
    save_style(tmp_path / "a.style", prompt)
    resaved(tmp_path / "a.style", change)
    with pytest.raises(UserError, match=f"a.style: .*{said}"):
        load_style(tmp_path / "a.style")


def test_a_style_file_of_before_there_were_hashes_is_read(tmp_path, prompt):
    save_style(tmp_path / "a.style", prompt)
    resaved(tmp_path / "a.style", lambda arrays, notes: (notes.pop("sha256"), one_value(arrays, notes)))
    assert load_style(tmp_path / "a.style").source == "somebody.mp4"


def test_a_bundle_of_a_style_is_a_prompt(tmp_path, prompt):
    save_style(tmp_path / "a.style", prompt)
    pack(tmp_path / "a.style", tmp_path / "bundle", "CC0")
    np.testing.assert_array_equal(
        read_prompt(tmp_path / "bundle", FACE, ACOUSTIC).expression, load_style(tmp_path / "a.style").expression
    )
