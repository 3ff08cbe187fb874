import json

import numpy as np
import pytest
from scipy.stats import spearmanr

from vast_jax.metrics.style_similarity import STATISTICS, identity_leakage, statistics, style_similarity
from vast_jax.reporting import jsonable

GROUPS = {"all": np.arange(4), "strong": np.array([0, 1]), "weak": np.array([2, 3])}


def sequences(count: int = 8, noise: float = 0.0, seed: int = 0) -> list[np.ndarray]:
    """Of four parameters with a mean and size of their own, the last the same in all. The seed is of the rest."""
    styles = np.random.default_rng(0)
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        mean, size = styles.uniform(0, 0.5, 4), styles.uniform(0.1, 0.8, 4)
        mean[3] = size[3] = 0.2
        phase = np.linspace(0, 12 * np.pi, 240)[:, None] + rng.uniform(0, 6, 1)
        found.append(mean + size * np.sin(phase) + noise * rng.normal(size=(240, 4)))
    return found


def test_statistics_are_analytic():
    ramp = np.linspace(0, 1, 101)[:, None] * [1.0, -2.0]
    uniform = [0.5, np.sqrt(np.mean((np.arange(101) / 100 - 0.5) ** 2)), 0.01 * 25, 0.9]
    np.testing.assert_allclose(statistics(ramp), np.outer(uniform, [1, 2]) * [[1, -1], [1, 1], [1, 1], [1, 1]])
    with pytest.raises(ValueError, match="single frame"):
        statistics(ramp[:1])


def test_the_correlation_is_spearmans_over_what_differs():
    prompts, results = sequences(), sequences(noise=0.4, seed=1)
    found = style_similarity(prompts, results, GROUPS)
    given, made = (np.stack([statistics(x) for x in group]) for group in (prompts, results))
    each = {}
    for i, kind in enumerate(STATISTICS):
        for d in range(4):
            if given[:, i, d].std() > 0.03:
                each[kind, d] = spearmanr(given[:, i, d], made[:, i, d]).statistic
    assert {d for _, d in each} == {0, 1, 2} and found.compared == {"all": len(each), "strong": 8, "weak": 4}
    assert found.correlation["all"] == pytest.approx(np.mean(list(each.values())))
    assert found.correlation["weak"] == pytest.approx(np.mean([each[kind, 2] for kind in STATISTICS]))
    assert found.by_statistic["strong"]["speed"] == pytest.approx(np.mean([each["speed", d] for d in (0, 1)]))
    assert 0.3 < found.correlation["all"] < 0.99


def test_the_prompts_themselves_correlate_by_one_and_shuffled_ones_by_little():
    prompts = sequences()
    found = style_similarity(prompts, prompts, GROUPS)
    assert found.correlation["all"] == pytest.approx(1)
    assert found.shuffled["all"] == pytest.approx(-1 / 7, abs=0.03)  # of ranks that sum to 0
    assert found == style_similarity(prompts, prompts, GROUPS)  # seeded
    twisted = style_similarity(prompts, [1 - x for x in prompts], {"all": np.arange(3)})
    means = twisted.by_statistic["all"]
    assert means["mean"] == pytest.approx(-1) and means["spread"] == pytest.approx(1) == means["range"]


def test_a_result_that_ignores_its_prompt_is_no_better_than_shuffled():
    prompts = sequences()
    found = style_similarity(prompts, [prompts[0]] * len(prompts), GROUPS)
    assert found.correlation["all"] == 0 == found.shuffled["all"]


def test_it_can_be_written_as_json():
    prompts = sequences()
    found = style_similarity(prompts, prompts, {"all": np.arange(4), "still": np.array([3])})
    read = json.loads(json.dumps(jsonable(found._asdict()), allow_nan=False))
    assert read["correlation"] == {"all": pytest.approx(1), "still": None} and read["compared"]["still"] == 0
    assert read["prompts"] == 8 and set(read["by_statistic"]["all"]) == set(STATISTICS)


@pytest.mark.parametrize("count", [(2, 2), (4, 3)])
def test_too_few_or_unpaired_prompts_are_refused(count):
    prompts, results = (sequences(n) for n in count)
    with pytest.raises(ValueError, match="three pairs"):
        style_similarity(prompts, results, GROUPS)


def people(speaker_size: float, emotion_size: float) -> tuple[np.ndarray, list[str], list[str], list[str]]:
    """Two windows of each of 6 speakers' recording of 4 emotions; vectors hold either, and noise of each recording."""
    rng = np.random.default_rng(0)
    speakers, emotions = rng.normal(size=(6, 16)), rng.normal(size=(4, 16))
    vectors, names = [], ([], [], [])
    for s, e, _ in np.ndindex(6, 4, 2):
        vectors.append(speaker_size * speakers[s] + emotion_size * emotions[e] + 0.1 * rng.normal(size=16))
        for into, name in zip(names, (f"s{s}", f"e{e}", f"s{s}e{e}"), strict=True):
            into.append(name)
    return np.stack(vectors), *names


def test_leakage_is_of_what_the_vectors_hold():
    only_emotion = identity_leakage(*people(0, 1))
    assert only_emotion.emotion_neighbour == only_emotion.emotion_probe == 1
    assert only_emotion.speaker_neighbour < 0.4 and only_emotion.speaker_probe < 0.4
    only_speaker = identity_leakage(*people(1, 0))
    assert only_speaker.speaker_neighbour == only_speaker.speaker_probe == 1
    assert only_speaker.emotion_neighbour < 0.6 and only_speaker.emotion_probe < 0.6
    assert only_speaker.speaker_chance == pytest.approx(1 / 6) and only_speaker.emotion_chance == 0.25


def test_two_windows_of_a_recording_do_not_count_as_leakage():
    vectors, speakers, emotions, recordings = people(0, 0)
    vectors += np.repeat(np.random.default_rng(1).normal(size=(24, 16)), 2, axis=0)  # of each recording alone
    told = identity_leakage(vectors, speakers, emotions)
    apart = identity_leakage(vectors, speakers, emotions, recordings)
    assert told.speaker_neighbour == 1 and apart.speaker_neighbour < 0.5 and apart.speaker_probe < 0.5


def test_who_cannot_be_told_is_left_out():
    vectors, speakers, emotions, recordings = people(1, 0)
    speakers[:2] = ["guest"] * 2  # one recording
    apart = identity_leakage(vectors, speakers, emotions, recordings)
    assert apart.speaker_neighbour == 1 and apart.speaker_chance == pytest.approx(8 / 46)
    alone = identity_leakage(vectors, speakers, speakers, recordings)  # emotions of one speaker each
    assert np.isnan([alone.emotion_neighbour, alone.emotion_probe, alone.emotion_chance]).all()
    assert jsonable(alone._asdict())["emotion_probe"] is None
