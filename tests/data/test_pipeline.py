import dataclasses
import itertools
import json
import os
from pathlib import Path

import jax
import numpy as np
import pytest

from vast_jax.data import builders
from vast_jax.data.example_processes import none_left
from vast_jax.data.pipeline import Clips, batches, open_clips, pad_frames, windows
from vast_jax.types import UserError

from .test_builders import make_clip

NUMBERS = list(range(23))


def example(number: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {"number": np.asarray(number), "noise": rng.standard_normal(3)}


def take(iterator, count: int) -> list[dict]:
    return list(itertools.islice(iterator, count))


def same(one: list[dict], other: list[dict]) -> bool:
    pairs = zip(one, other, strict=True)
    return all(np.array_equal(a[key], b[key]) for a, b in pairs for key in ("number", "noise"))


def test_same_seed_same_batches_and_no_end():
    first = take(iter(batches(NUMBERS, example, 4, seed=3)), 20)
    assert same(first, take(iter(batches(NUMBERS, example, 4, seed=3)), 20))
    assert not same(first, take(iter(batches(NUMBERS, example, 4, seed=4)), 20))
    assert all(batch["noise"].shape == (4, 3) for batch in first)


def test_every_item_once_an_epoch_in_a_new_order_with_new_noise():
    seen = take(iter(batches(NUMBERS, example, 1, seed=0)), 2 * len(NUMBERS))
    numbers = [int(batch["number"][0]) for batch in seen]
    one, two = numbers[: len(NUMBERS)], numbers[len(NUMBERS) :]
    assert sorted(one) == sorted(two) == NUMBERS and one != two
    assert len({batch["noise"].tobytes() for batch in seen}) == len(seen)


@pytest.mark.parametrize("done", [0, 3, 17])
def test_resumes_exactly_in_the_middle_of_an_epoch(done):
    dataset = batches(NUMBERS, example, 4, seed=1)
    iterator = iter(dataset)
    take(iterator, done)
    state = json.loads(json.dumps(iterator.get_state()))  # as a checkpoint keeps it
    expected = take(iterator, 12)
    resumed = iter(batches(NUMBERS, example, 4, seed=1))
    take(resumed, 5)
    resumed.set_state(state)
    assert same(take(resumed, 12), expected)


@pytest.mark.parametrize("hosts", [2, 4])
def test_hosts_make_the_rows_of_the_batches_that_one_would_make(monkeypatch, hosts):
    alone = take(iter(batches(NUMBERS, example, 4, seed=0)), 12)  # beyond an epoch
    monkeypatch.setattr(jax, "process_count", lambda: hosts)
    shares = []
    for host in range(hosts):
        monkeypatch.setattr(jax, "process_index", lambda host=host: host)
        shares.append(take(iter(batches(NUMBERS, example, 4, seed=0)), 12))
    together = [
        {name: np.concatenate([b[name] for b in rows]) for name in rows[0]} for rows in zip(*shares, strict=True)
    ]
    assert same(alone, together)
    with pytest.raises(UserError, match=f"cannot be shared by {hosts} hosts"):
        batches(NUMBERS, example, 5, seed=0)


def test_processes_that_make_examples_change_no_batch():
    alone = iter(batches(NUMBERS, example, 4, seed=0, workers=0))
    with none_left():
        shared = iter(batches(NUMBERS, example, 4, seed=0, workers=2))
        assert same(take(alone, 12), take(shared, 12))
    assert json.dumps(alone.get_state()) == json.dumps(shared.get_state())


def where_it_is_made(number: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {"process": np.asarray(os.getpid()), "noise": rng.standard_normal(3)}


def test_examples_are_made_elsewhere_by_processes_that_end():
    with none_left():
        shared = iter(batches(NUMBERS, where_it_is_made, 2, seed=0, workers=2))
        made_by = {int(number) for batch in take(shared, 12) for number in batch["process"]}
        assert os.getpid() not in made_by and 1 <= len(made_by) <= 2
    assert not [number for number in made_by if Path(f"/proc/{number}/cmdline").is_file()]


def dies(number: int, rng: np.random.Generator):
    os._exit(1)


def test_a_process_that_dies_is_told_in_words():
    with none_left(), pytest.raises(UserError, match="a process that makes training examples died"):
        next(iter(batches(NUMBERS, dies, 2, seed=0, workers=2)))


def test_windows_cover_every_frame():
    clips = [make_clip("x/a", 10), make_clip("x/b", 3), make_clip("x/c", 8)]
    found = [(window.clip.name, window.start, window.stop) for window in windows(clips, 4)]
    expected = [("x/a", 0, 4), ("x/a", 4, 8), ("x/a", 6, 10), ("x/b", 0, 3), ("x/c", 0, 4), ("x/c", 4, 8)]
    assert found == expected
    assert len(windows(clips[:1], 4, hop=1)) == 7


def test_windows_without_a_face_are_left_out():
    clip = make_clip("x/a", 12)
    valid = np.ones(12, bool)
    valid[5] = False
    clip = dataclasses.replace(clip, track=clip.track._replace(valid=valid))
    assert [window.start for window in windows([clip], 4)] == [0, 8]
    assert [window.start for window in windows([clip], 4, min_valid=0.75)] == [0, 4, 8]


def test_pad_frames():
    padded = pad_frames(np.ones((2, 3), np.float32), 5)
    assert padded.shape == (5, 3) and padded.sum() == 6 and padded.dtype == np.float32


def test_clips_by_name_and_pattern():
    clips = Clips([make_clip("grid/s1/a"), make_clip("grid/s1/b"), make_clip("me/b")])
    assert clips.matching("grid/s1/*").names == ["grid/s1/a", "grid/s1/b"]
    assert clips.matching("*/b", "none").names == ["grid/s1/b", "me/b"]
    assert clips.named("me/b").name == "me/b" and clips[1:].names == ["grid/s1/b", "me/b"]
    with pytest.raises(UserError, match="no clip fits x"):
        clips.matching("x")
    with pytest.raises(UserError, match="no clip nobody"):
        clips.named("nobody")


def test_phone_posteriors_of_one_model_only():
    clip = make_clip("x/a")
    assert Clips([clip, make_clip("x/b")]).ppg_hash == "acoustic"
    for other in ("", "better"):
        with pytest.raises(UserError, match="--update-ppg"):
            _ = Clips([clip, dataclasses.replace(clip, ppg_hash=other)]).ppg_hash


def test_open_clips_reads_all_folders_below(tmp_path):
    builders.write_folder(tmp_path / "one" / "a+b", [make_clip("a/b/2"), make_clip("a/b/1")])
    builders.write_folder(tmp_path / "two" / "c", [make_clip("c/3")])
    assert open_clips(tmp_path).names == ["a/b/1", "a/b/2", "c/3"]
    assert open_clips(tmp_path / "two").names == ["c/3"]
    with pytest.raises(UserError, match="no clip of the split held_out"):
        open_clips(tmp_path, "held_out")
    builders.write_folder(tmp_path / "d", [make_clip("d/4", face_model="other")])
    with pytest.raises(UserError, match="2 face models"):
        open_clips(tmp_path)
    with pytest.raises(UserError, match="no folder"):
        open_clips(tmp_path / "missing")
