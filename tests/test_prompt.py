from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file

from vast_jax.prompt import Prompt, load_style, read_prompt, save_style
from vast_jax.types import UserError

FACE, ACOUSTIC = SimpleNamespace(hash="face"), SimpleNamespace(hash="acoustic")


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
