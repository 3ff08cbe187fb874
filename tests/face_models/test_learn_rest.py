"""What is learned about people, against cases whose answer is known."""

from dataclasses import replace

import numpy as np
import pytest
from footage import made_up_clip

from vast_jax.data import builders
from vast_jax.face.model import load_face_model
from vast_jax.face_models import learn_rest
from vast_jax.face_models.learn_rest import Evidence


def people(rng, count, clips, identity, expression, noise=0.01):
    """Evidence of linear observations of the sum of what a person is and what a clip holds, seen by random rows."""
    found = []
    size = len(identity) + len(expression)
    for _ in range(count):
        who = rng.multivariate_normal(np.zeros(len(identity)), identity)
        mine = []
        for _ in range(clips):
            holds = rng.multivariate_normal(np.zeros(len(expression)), expression)
            rows = rng.normal(size=(2 * size, size)) / noise
            seen = rows @ np.r_[who, holds] + rng.normal(size=2 * size)
            mine.append(Evidence(rows.T @ rows, rows.T @ seen))
        found.append(mine)
    return found


def test_the_posterior_is_that_of_a_normal_distribution():
    """Against conditioning the joint distribution of all unknowns and all that was seen, written down as one."""
    rng = np.random.default_rng(0)
    identity, expression = np.diag([2.0, 0.5]), np.array([[1.0, 0.3], [0.3, 0.4]])
    rows = rng.normal(size=(2, 5, 4))
    seen = rng.normal(size=(2, 5))
    clips = [Evidence(r.T @ r, r.T @ s) for r, s in zip(rows, seen, strict=True)]
    mean, spread = learn_rest.posterior(clips, np.linalg.inv(identity), np.linalg.inv(expression))
    prior = np.zeros((6, 6))
    prior[:2, :2], prior[2:4, 2:4], prior[4:, 4:] = identity, expression, expression
    look = np.zeros((10, 6))
    look[:5, :4], look[5:, :2], look[5:, 4:] = rows[0], rows[1][:, :2], rows[1][:, 2:]
    gain = prior @ look.T @ np.linalg.inv(look @ prior @ look.T + np.eye(10))
    np.testing.assert_allclose(mean, gain @ seen.ravel(), rtol=1e-6)
    np.testing.assert_allclose(spread, prior - gain @ look @ prior, rtol=1e-6, atol=1e-9)


def test_spreads_that_differ_are_found_again(monkeypatch):
    """Of parameters in which people differ and those in which they do not, whatever is believed at first."""
    rng = np.random.default_rng(1)
    monkeypatch.setattr(learn_rest, "IDENTITY_SPREAD", 1.0)
    monkeypatch.setattr(learn_rest, "EXPRESSION_SPREAD", 1.0)
    monkeypatch.setattr(learn_rest, "BELIEF", 1)
    monkeypatch.setattr(learn_rest, "identity_prior", lambda model: np.ones(3))
    monkeypatch.setattr(learn_rest, "expression_prior", lambda model: np.ones(2))
    identity, expression = np.diag([1.0, 0.1, 0.01]), np.array([[0.3, 0.2], [0.2, 0.3]])
    found = learn_rest.learn(_Head, people(rng, 400, 3, identity, expression))
    np.testing.assert_allclose(np.linalg.inv(found.identity), identity, atol=0.1 * 1.0, rtol=0.2)
    np.testing.assert_allclose(np.linalg.inv(found.expression), expression, rtol=0.15, atol=0.02)


class _Head:
    identity_basis = np.zeros((3, 1, 3))


def test_the_command_gives_a_head_its_rest_and_keeps_its_space(tmp_path, capsys):
    clips = [replace(made_up_clip(f"a/b/{k}", frames=30, seed=k), person=str(k)) for k in range(3)]
    builders.write_folder(tmp_path / "data" / "a+b", clips)
    learn_rest.main(["--data", str(tmp_path / "data"), "--out", str(tmp_path / "head.npz")])
    head, before = load_face_model(tmp_path / "head.npz"), load_face_model()
    assert head.hash == before.hash and "3 people" in capsys.readouterr().err
    for precision in head.rest:
        np.testing.assert_allclose(precision, precision.T)
        assert np.linalg.eigvalsh(precision.astype(np.float64)).min() > 0
    with pytest.raises(SystemExit):
        learn_rest.main(["--data", str(tmp_path / "none"), "--out", str(tmp_path / "other.npz")])
    assert not (tmp_path / "other.npz").exists()
