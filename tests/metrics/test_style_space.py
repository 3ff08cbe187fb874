import numpy as np
import pytest
from PIL import Image

from vast_jax.metrics.style_space import (
    chance,
    neighbour_accuracy,
    plot_points,
    probe_accuracy,
    silhouette,
    style_space,
    tsne,
)


def clusters(apart: float, people: int = 6, each: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors of three emotions of several people, with the people's own offsets."""
    rng = np.random.default_rng(0)
    emotions, persons = rng.normal(size=(3, 12)), rng.normal(size=(people, 12))
    place = np.array(list(np.ndindex(3, people, each)))
    vectors = apart * emotions[place[:, 0]] + 0.3 * persons[place[:, 1]] + 0.1 * rng.normal(size=(len(place), 12))
    return vectors, np.char.add("e", place[:, 0].astype(str)), np.char.add("p", place[:, 1].astype(str))


def test_the_silhouette_is_that_of_its_definition():
    vectors, labels, _ = clusters(0.3)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    distance = 1 - unit @ unit.T
    values = []
    for i, label in enumerate(labels):
        inside = np.mean([distance[i, j] for j in range(len(labels)) if j != i and labels[j] == label])
        outside = min(distance[i, labels == other].mean() for other in set(labels) - {label})
        values.append((outside - inside) / max(outside, inside))
    assert silhouette(vectors, labels) == pytest.approx(np.mean(values), rel=1e-6)
    assert np.isnan(silhouette(vectors, ["a"] * len(vectors))) and np.isnan(
        silhouette(vectors, np.arange(len(vectors)))
    )


def test_separate_labels_are_told_of_unseen_people():
    found = style_space(*clusters(1.0))
    assert found.silhouette > 0.5 and found.neighbours == found.probe == 1
    assert found.chance == pytest.approx(1 / 3) and (found.vectors, found.labels, found.groups) == (54, 3, 6)


def test_what_is_not_there_is_not_told():
    vectors, labels, people = clusters(0.0)
    found = style_space(vectors, labels, people)
    assert found.silhouette < 0.1 and found.neighbours < 0.5 and found.probe < 0.5
    # Each person's emotion can be learned from that person, so without leaving people out it would look as if it were.
    learned = vectors + np.repeat(np.random.default_rng(1).normal(size=(18, 12)), 3, axis=0)
    assert neighbour_accuracy(learned, labels, neighbours=1) == 1 and probe_accuracy(learned, labels) > 0.65
    assert neighbour_accuracy(learned, labels, people) < 0.6 and probe_accuracy(learned, labels, people) < 0.6


def test_neighbours_vote_by_angle_and_the_nearest_breaks_a_tie():
    vectors = np.array([[1, 0], [10, 1], [0, 1], [1, 20.0], [5, 0.1]])
    assert neighbour_accuracy(vectors, list("aabba"), neighbours=1) == 1
    assert neighbour_accuracy(vectors[:4], list("abba"), neighbours=2) == 0.0
    assert np.isnan(neighbour_accuracy(vectors, list("aabba"), ["p"] * 5))


def test_a_label_of_one_person_is_left_out():
    vectors, labels, people = clusters(1.0)
    labels = np.where((people == "p0") & (labels == "e0"), "own", labels)
    found = style_space(vectors, labels, people)
    assert found.vectors == 51 and found.labels == 3 and found.probe == 1
    nothing = style_space(vectors, people, people)  # each label of one group
    assert nothing.vectors == 0 and np.isnan(nothing[:4]).all()


def test_a_fold_that_saw_one_label_names_it():
    vectors = np.arange(4.0)[:, None]
    assert probe_accuracy(vectors, list("abab"), list("pppq")) == pytest.approx(0.25)
    assert np.isnan(probe_accuracy(vectors, list("abab"), list("pppp"))) and np.isnan(
        probe_accuracy(vectors, list("abcd"))
    )


def test_chance_is_the_share_of_the_commonest():
    assert chance(list("aaab")) == 0.75 and np.isnan(chance([]))


def test_tsne_keeps_clusters_and_repeats_itself(tmp_path):
    vectors, labels, _ = clusters(3.0)
    points = tsne(vectors)
    assert points.shape == (54, 2) and np.array_equal(points, tsne(vectors))
    distance = np.linalg.norm(points[:, None] - points, axis=-1) + 1e9 * np.eye(len(points))
    assert (labels[distance.argmin(1)] == labels).all()
    assert tsne(vectors[:4]).shape == (4, 2)
    with pytest.raises(ValueError, match="too few"):
        tsne(vectors[:3])
    plot_points(tmp_path / "space.png", points, labels, "emotions")
    image = np.asarray(Image.open(tmp_path / "space.png").convert("RGB"))
    assert image.shape == (600, 700, 3) and len(np.unique(image.reshape(-1, 3), axis=0)) > 20


def test_the_values_stay_what_they_were():
    found = style_space(*clusters(0.25))
    assert found[:3] == pytest.approx([0.2010, 44 / 54, 45 / 54], abs=0.001)
