import numpy as np
import pytest
import soundfile

from vast_jax import audio, hear
from vast_jax.audio import PHONES
from vast_jax.types import UserError


def test_runs_of_phones():
    posteriors = np.eye(len(PHONES))[[0, 0, 5, 5, 5, 7]]
    assert [(round(a, 2), round(b, 2), phone) for a, b, phone in hear.heard(posteriors)] == [
        (0.0, 0.04, "SIL"),
        (0.04, 0.1, PHONES[5]),
        (0.1, 0.12, PHONES[7]),
    ]
    assert hear.heard(posteriors[:0]) == []


def test_hears_a_file_and_draws_it(tmp_path):
    path, picture = tmp_path / "a.wav", tmp_path / "a.png"
    soundfile.write(path, np.zeros((22050, 2)), 44100)
    phones = hear.hear(hear.Args(path, out=picture, seconds=0.3))
    assert phones == [(0, pytest.approx(0.52), "SIL")]  # half a second is 13 video frames
    assert picture.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UserError, match="exists already"):
        hear.hear(hear.Args(path, out=picture))


def test_visemes_of_the_picture_are_summed(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(hear.plt.Axes, "imshow", lambda self, image, **options: drawn.append(np.asarray(image)))
    posteriors = np.random.default_rng(0).dirichlet(np.ones(len(PHONES)), 4).astype(np.float32)
    hear.picture(tmp_path / "a.png", np.zeros(4 * audio.HOP, np.float32), posteriors, "a")
    shut = [PHONES.index(phone) for phone in "PBM"]
    np.testing.assert_allclose(drawn[2].sum(0), 1, rtol=1e-5)
    np.testing.assert_allclose(drawn[2][1], posteriors[:, shut].sum(-1), rtol=1e-5)
