import json
from types import SimpleNamespace

import numpy as np
import pytest

from vast_jax import evaluate as command
from vast_jax import protocols
from vast_jax.data.clips import Clip, encode_jpeg
from vast_jax.data.pipeline import Clips
from vast_jax.face.model import FaceModel
from vast_jax.metrics.expression import correlation, mean_distance, mesh_lip_aperture, metric_coordinates
from vast_jax.types import FaceTrack, UserError

D, FRAMES, PHONES = 5, 60, 41
RNG = np.random.default_rng(0)
SPOKEN = RNG.normal(size=(PHONES, D)).astype(np.float32)  # expression of each phone, before style
SIZE = 64


@pytest.fixture(scope="module")
def face() -> FaceModel:
    vertices = 500
    return FaceModel(
        neutral=RNG.normal(0, 50, (vertices, 3)),
        identity_basis=RNG.normal(size=(3, vertices, 3)),
        expression_basis=RNG.normal(size=(D, vertices, 3)),
        expression_names=tuple("abcde"),
        expression_low=np.zeros(D, np.float32),
        triangles=np.zeros((1, 3), np.int32),
        part=np.zeros(vertices, np.uint8),
        regions={name: RNG.random(vertices) < 0.3 for name in ("mouth", "face", "eye_left", "eye_right")},
        paint={},
        eye_centres=np.zeros((2, 3)),
        landmark_triangles=np.repeat(np.arange(478)[:, None], 3, 1).astype(np.int32),
        landmark_weights=np.full((478, 3), 1 / 3),
        landmark_offset=np.zeros((478, 3)),
        hash="face",
    )


def clip(name: str, person: str, manner: float) -> Clip:
    """Somebody whose expression is what the phones want, shifted by a manner."""
    ppg = RNG.dirichlet(np.full(PHONES, 0.1), FRAMES).astype(np.float32)
    frames = RNG.integers(0, 255, (FRAMES, SIZE // 8, SIZE // 8, 3), np.uint8).repeat(8, 1).repeat(8, 2)
    zeros = np.zeros((FRAMES, 3), np.float32)
    track = FaceTrack(
        np.zeros(3), ppg @ SPOKEN + np.float32(manner), zeros, zeros, np.zeros((FRAMES, 4)), np.zeros((FRAMES, 478, 3)),
        np.ones(FRAMES, bool), np.zeros(3), np.zeros(2), 1.0, 25.0, "face",
    )  # fmt: skip
    jpegs = [encode_jpeg(frame) for frame in frames]
    return Clip(name, person, "", track, np.zeros(640 * FRAMES, np.int16), True, ppg, "acoustic", jpegs)


class Style:
    """Knows what the phones want, and takes the manner from the prompt's mean."""

    def encode(self, expression, ppg, has_speech):
        return (expression - ppg @ SPOKEN).mean()

    def decode(self, ppg, style, seed):
        return ppg @ SPOKEN + style


class Actor:
    """Shows the clip itself for the tracked expression, else noise."""

    name, person = "somebody", "s1"

    def render(self, template, expression):
        true = np.array_equal(expression, template.track.expression)
        return template.frames() if true else RNG.integers(0, 255, (len(template), SIZE, SIZE, 3), np.uint8)

    def hole(self, template):
        if template.name.endswith("broken"):
            raise ValueError("no hole")
        return np.eye(SIZE, dtype=bool)


class Eyes:
    """A landmarker whose points move with the picture's colours; it misses black frames."""

    def __init__(self, **_):
        self.points = np.random.default_rng(1).uniform(0, SIZE, (478, 3)).astype(np.float32)

    def detect(self, rgb):
        moved = self.points + np.resize(rgb[::8, ::8].astype(np.float32).ravel() / 50, (478, 1)) * [[1, 0.5, 0]]
        return [moved] if rgb.any() else []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@pytest.fixture(scope="module")
def train():
    return [clip(f"grid/s1/{letter}", "s1", 0) for letter in "aceg"]


@pytest.fixture(scope="module")
def held_out():
    return [clip(f"grid/s1/{letter}", "s1", 0) for letter in "bdf"]


@pytest.fixture(scope="module")
def prompts():
    names = {
        "M030_front_angry_level3_001": 0.3,
        "M030_front_happy_level3_001": -0.3,
        "W009_front_happy_level3_001": 0.8,
    }
    return [clip(f"prompts/emotion_silent/{name}", name[:4], manner) for name, manner in names.items()]


def test_distances_are_those_of_the_vertices(face):
    one, two = RNG.normal(size=(2, 7, D))
    offset = np.einsum("td,dvc->tvc", one - two, face.expression_basis)
    distance = np.linalg.norm(offset, axis=-1)
    assert mean_distance(face, one, two) == pytest.approx(distance[:, face.regions["mouth"]].mean())
    union = face.regions["mouth"] | face.regions["face"]
    mapped = np.linalg.norm((one - two) @ metric_coordinates(face, "mouth", "face"), axis=-1)
    np.testing.assert_allclose(mapped, np.sqrt(np.square(distance[:, union]).mean(1)), rtol=1e-6)
    assert mesh_lip_aperture(face, np.zeros(3), one).shape == (7,)


def test_correlation_is_pearsons_and_zero_for_a_still_face():
    one, two = RNG.normal(size=(2, 30))
    assert correlation(one, two) == pytest.approx(np.corrcoef(one, two)[0, 1])
    assert correlation(one, np.ones(30)) == 0


def test_own_speech_is_nearer_than_other_speech(face, train, held_out):
    outcome, spoken = protocols.speech_to_expression(face, Style(), train, held_out, held_out, lambda _: None)
    figures = outcome.figures
    assert figures["clips"] == 3 and figures["share_own_below_other"] == 1
    assert figures["mouth_error_mm_own_median"] == pytest.approx(0, abs=1e-5)
    assert 0 < figures["mouth_error_mm_mean_expression_median"] < figures["mouth_error_mm_other_median"]
    assert figures["lip_correlation_own_median"] == pytest.approx(1)
    assert set(spoken) == {clip.name for clip in held_out}


def test_styles_of_different_manners_are_further_apart_than_halves(face, prompts, held_out):
    short = clip("prompts/silent/short", "short", 0)
    short = Clip(**{**vars(short), "track": short.track._replace(valid=np.ones(40, bool))})
    outcome = protocols.style_matters(face, Style(), [*prompts, short], held_out, lambda _: None)
    assert outcome.figures["pairs"] == 3 and outcome.figures["ratio_of_medians"] > 100
    assert outcome.figures["share_within_below_between"] == 1
    assert list(outcome.failed) == ["prompts/silent/short"]


def test_renderer_is_measured_and_a_broken_clip_named(train, held_out):
    broken = clip("grid/s1/broken", "s1", 0)
    outcome = protocols.render_quality(
        [*held_out, broken], Actor().render, Actor().hole, protocols.mean_expression(train), Eyes(), lambda _: None
    )
    figures = outcome.figures
    assert figures["clips"] == 3 and outcome.failed == {"grid/s1/broken": "ValueError: no hole"}
    assert figures["frames"] == 3 * FRAMES and figures["frames_without_landmarks"] == 0
    assert figures["lmd_m_median"] < 0.5 * figures["lmd_m_mean_expression_median"]  # the JPEG of the JPEG is not it
    assert figures["ssim_hole_median"] > 0.9 > figures["ssim_hole_mean_expression_median"]
    assert figures["share_ssim_hole_above_mean"] == 1


@pytest.fixture
def world(monkeypatch, face, train, held_out, prompts):
    models = SimpleNamespace(face=face, style=Style())
    everything = {"train": Clips(train), "held_out": Clips([*held_out, *prompts])}
    monkeypatch.setattr(command, "load_face_model", lambda path: face)
    monkeypatch.setattr(command, "load_acoustic", lambda path: SimpleNamespace(hash="acoustic"))
    monkeypatch.setattr(command, "load_models", lambda style, acoustic, face_model: models)
    monkeypatch.setattr(command, "load_avatar", lambda *_: Actor())
    monkeypatch.setattr(command, "open_clips", lambda data, split: everything[split])
    monkeypatch.setattr(command, "Landmarker", Eyes)
    monkeypatch.setattr(command, "use_compilation_cache", lambda: None)
    return everything


def test_the_report_has_all_three_protocols(world, tmp_path, capsys):
    out = tmp_path / "report"
    command.evaluate(command.Args(tmp_path, out, avatar=tmp_path, style=tmp_path, clips=2))
    report = json.loads((out / "report.json").read_text())
    assert {"renderer", "pipeline", "style"} <= set(report) and report["pipeline"]["figures"]["clips"] == 2
    text = (out / "report.md").read_text()
    assert "lmd_m_median" in text and "share_own_below_other" in text and "ratio_of_medians" in text
    assert {path.name for path in out.glob("*.png")} == {"grid+s1+b.png", "grid+s1+f.png"}
    assert "2/2 grid/s1/f" in capsys.readouterr().out


def test_each_protocol_needs_its_weights(world, tmp_path):
    assert set(command.evaluate(command.Args(tmp_path, tmp_path, avatar=tmp_path))) == {"renderer"}
    with pytest.raises(UserError, match="nothing to measure"):
        command.evaluate(command.Args(tmp_path, tmp_path))


def test_clips_of_another_acoustic_model_are_refused(world, monkeypatch, tmp_path):
    monkeypatch.setattr(command, "load_acoustic", lambda path: SimpleNamespace(hash="other"))
    with pytest.raises(UserError, match="--update-ppg"):
        command.evaluate(command.Args(tmp_path, tmp_path, style=tmp_path))
