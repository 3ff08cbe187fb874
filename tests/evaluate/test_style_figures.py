import numpy as np
import pytest

from vast_jax.audio import PHONES as NAMES
from vast_jax.data.clips import Clip
from vast_jax.evaluate import control_figures, style_figures
from vast_jax.evaluate import held_out as protocol
from vast_jax.face.model import FaceModel
from vast_jax.metrics.expression import correlation, mean_distance, mesh_lip_aperture, metric_coordinates
from vast_jax.types import FaceTrack

D, FRAMES, PHONES = 5, 60, 41
RNG = np.random.default_rng(0)
SPOKEN = RNG.normal(size=(PHONES, D)).astype(np.float32)  # expression of each phone, before style


@pytest.fixture(scope="module")
def face() -> FaceModel:
    vertices, rng = 500, np.random.default_rng(1)
    return FaceModel(
        neutral=rng.normal(0, 50, (vertices, 3)),
        identity_basis=rng.normal(size=(3, vertices, 3)),
        expression_basis=rng.normal(size=(D, vertices, 3)),
        expression_names=tuple("abcde"),
        expression_low=np.zeros(D, np.float32),
        triangles=np.zeros((1, 3), np.int32),
        part=np.zeros(vertices, np.uint8),
        regions={name: rng.random(vertices) < 0.3 for name in ("mouth", "face", "eye_left", "eye_right")},
        paint={},
        eye_centres=np.zeros((2, 3)),
        landmark_triangles=np.repeat(np.arange(478)[:, None], 3, 1).astype(np.int32),
        landmark_weights=np.full((478, 3), 1 / 3),
        landmark_offset=np.zeros((478, 3)),
        hash="face",
    )


def clip(name: str, person: str, manner: float) -> Clip:
    """Somebody whose expression is what the phones want, shifted by a manner."""
    rng = np.random.default_rng(list(name.encode()))  # the same whichever tests ran before
    ppg = rng.dirichlet(np.full(PHONES, 0.1), FRAMES).astype(np.float32)
    zeros = np.zeros((FRAMES, 3), np.float32)
    track = FaceTrack(
        np.zeros(3), ppg @ SPOKEN + np.float32(manner), zeros, zeros, np.zeros((FRAMES, 4)), np.zeros((FRAMES, 478, 3)),
        np.ones(FRAMES, bool), np.zeros(3), np.zeros(2), 1.0, 25.0, "face",
    )  # fmt: skip
    return Clip(name, person, "", track, np.zeros(640 * FRAMES, np.int16), True, ppg, "acoustic", [b""] * FRAMES)


class Style:
    """Knows what the phones want, and takes the manner from the prompt's mean."""

    def encode(self, expression, ppg, has_speech):
        return (expression - ppg @ SPOKEN).mean()

    def decode(self, ppg, style, seed):
        return ppg @ SPOKEN + style


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
    outcome = style_figures.speech_to_expression(face, Style(), train, held_out, held_out, lambda _: None)
    figures = outcome.figures
    assert figures["clips"] == 3 and figures["share_own_below_other"] == 1
    assert figures["mouth_error_mm_own_median"] == pytest.approx(0, abs=1e-5)
    assert 0 < figures["mouth_error_mm_mean_expression_median"] < figures["mouth_error_mm_other_median"]
    assert figures["lip_correlation_own_median"] == pytest.approx(1)
    assert figures["lip_spread_over_real_own_median"] == pytest.approx(1)
    assert figures["dvt_frame_all_generated"] == pytest.approx(figures["dvt_frame_all_real"], rel=1e-4)


def test_a_clip_that_fails_is_named(face, train, held_out):
    broken = clip("grid/s1/e2", "s1", 0)
    broken = Clip(**{**vars(broken), "ppg": broken.ppg[:, :7]})
    outcome = style_figures.speech_to_expression(
        face, Style(), train, [*held_out, broken], [*held_out, broken], lambda _: None
    )
    assert outcome.figures["clips"] == 2  # the one before it hears its speech as the other
    assert set(outcome.failed) == {"grid/s1/f", "grid/s1/e2"} and "ValueError" in outcome.failed["grid/s1/e2"]


def test_the_prompt_is_the_next_training_clip_and_never_the_clip_itself(train, held_out):
    assert [protocol.prompt_of(clip, train).name[-1] for clip in held_out] == ["c", "e", "g"]
    assert protocol.prompt_of(train[-1], train).name == train[0].name
    assert [protocol.next_of(clip, held_out).name[-1] for clip in held_out] == ["d", "f", "b"]


def test_speech_is_held_where_it_is_shorter_than_the_picture(held_out):
    ppg = protocol.posteriors(held_out[0], FRAMES + 3)
    np.testing.assert_array_equal(ppg[:FRAMES], held_out[0].ppg)
    np.testing.assert_array_equal(ppg[FRAMES:], np.tile(held_out[0].ppg[-1:], (3, 1)))


def test_styles_of_different_manners_are_further_apart_than_halves(face, prompts, held_out):
    short = clip("prompts/silent/short", "short", 0)
    short = Clip(**{**vars(short), "track": short.track._replace(valid=np.ones(40, bool))})
    outcome = style_figures.style_matters(face, Style(), [*prompts, short], held_out, held_out[0].ppg, lambda _: None)
    assert outcome.figures["pairs"] == 3 and outcome.figures["ratio_of_medians"] > 100
    assert outcome.figures["share_within_below_between"] == 1
    assert outcome.figures["left_out_short"] == 1 and not outcome.failed


def test_a_style_that_is_followed_is_similar(face, prompts, held_out):
    """The manner shifts every parameter alike, in prompts and results: the means are ranked alike."""
    many = [clip(f"prompts/mead/P{n}_happy", f"P{n}", manner) for n, manner in enumerate(np.linspace(-1, 1, 8))]
    followed = style_figures.style_matters(face, Style(), many, held_out, held_out[0].ppg, lambda _: None).figures

    class Deaf(Style):
        def encode(self, expression, ppg, has_speech):
            return 0.0

    ignored = style_figures.style_matters(face, Deaf(), many, held_out, held_out[0].ppg, lambda _: None).figures
    assert followed["style_similarity_all"] > 0.2 > abs(ignored["style_similarity_all"])


def test_blinks_of_all_prompts_and_of_those_long_enough():
    rows = [
        dict(minutes=0.5, blinks_prompt=20.0, blinks_result=12.0),
        dict(minutes=0.5, blinks_prompt=4.0, blinks_result=12.0),
        dict(minutes=0.5, blinks_prompt=0.0, blinks_result=12.0),  # never blinks: no rate to be near to
        dict(minutes=0.1, blinks_prompt=60.0, blinks_result=4.0),  # six seconds tell little
    ]
    figures = style_figures._blinks(rows)
    assert figures["blinks_prompts"] == pytest.approx((10 + 2 + 0 + 6) / 1.6)
    assert figures["blinks_results"] == pytest.approx(10)
    assert figures["blinks_compared"] == 2 and figures["blinks_near_prompt"] == 0.5


def test_emotions_are_told_across_persons():
    class Manner(Style):
        def encode(self, expression, ppg, has_speech):
            manner = (expression - ppg @ SPOKEN).mean()
            return np.array([1.0, manner])

    prompts = [
        clip(f"prompts/mead/{person}_front_{emotion}", person, manner)
        for person in ("M030", "W009", "W023")
        for emotion, manner in (("happy", 1.0), ("sad", -1.0), ("angry", 0.0))
    ]
    figures, space = style_figures.emotion_space(Manner(), [*prompts, clip("prompts/news/anchor", "anchor", 0)])
    assert len(space.vectors) == 9 and set(space.emotions) == {"happy", "sad", "angry"}
    assert figures["emotion_neighbours"] == 1 and figures["emotion_chance"] == pytest.approx(1 / 3)
    assert figures["speaker_neighbour"] < 0.5


def test_controls_are_measured(face):
    prompts = [clip(f"prompts/mead/{i}", f"m{i}", manner) for i, manner in enumerate((0.5, -0.3, 1.0))]
    speeches = [clip("grid/s1/x", "s1", 0), clip("grid/s1/y", "s1", 0)]
    outcome = control_figures.controls(face, Style(), clip("grid/s1/a", "s1", 0), prompts, speeches, print)
    assert outcome.figures["share_growing"] == 1 and outcome.figures["share_mix_between"] == 1
    rows = outcome.rows["prompts/mead/2"]
    assert rows["apart_mm_at_1.5"] == pytest.approx(1.5 * rows["apart_mm_at_1"], rel=1e-4)
    assert rows["apart_mm_at_0.5"] == pytest.approx(outcome.rows["prompts/mead/0"]["apart_mm_at_1"], rel=1e-4)

    class Stuck(Style):
        def decode(self, ppg, style, seed):
            return ppg @ SPOKEN + min(style, 0.5)

    stuck = control_figures.controls(face, Stuck(), clip("grid/s1/a", "s1", 0), prompts, speeches, print)
    assert stuck.figures["share_growing"] == pytest.approx(1 / 3)


def test_lips_meet_at_closing_phones():
    ppg = np.full((12, PHONES), 0.0)
    ppg[:, NAMES.index("AA")] = 1
    ppg[3:5], ppg[8] = np.eye(PHONES)[NAMES.index("B")], np.eye(PHONES)[NAMES.index("M")]
    spans = control_figures.closing_spans(ppg)
    assert spans == [(3, 5), (8, 9)]
    gap = np.full(12, 10.0)
    gap[1], gap[9] = 0.5, 4.0
    np.testing.assert_allclose(control_figures.closings(gap, spans), [0.05, 0.4])
