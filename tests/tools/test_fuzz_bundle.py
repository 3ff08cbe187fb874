import pickle

import fuzz_bundle as fuzzing
import numpy as np
import pytest
from bundle_damage import Trap, damaged
from fuzz_bundle import Fuzzer
from shared_bundles import made_up_export, made_up_style

from vast_jax.generation import prompt
from vast_jax.types import UserError


@pytest.mark.parametrize("kind", ["avatar", "style"])
def test_damage_is_refused_or_harmless(tmp_path, kind):
    source = made_up_export(tmp_path / "a", frames=2) if kind == "avatar" else made_up_style(tmp_path / "a.style")
    (tmp_path / "work").mkdir()
    fuzzer = Fuzzer(source, tmp_path / "work")
    for seed in range(60):
        fuzzer.once(seed)
    assert fuzzer.wrong == [] and fuzzer.counts["refused"] > 30 and sum(fuzzer.counts.values()) == 60


def test_a_reader_that_does_not_look_is_found_out(tmp_path, monkeypatch):
    """The fuzzer fails where it should: without the hashes, changed arrays are taken."""
    (tmp_path / "work").mkdir()
    fuzzer = Fuzzer(made_up_style(tmp_path / "a.style"), tmp_path / "work")
    monkeypatch.setattr(prompt, "_digest", lambda arrays, notes: notes.get("sha256"))
    monkeypatch.setattr(prompt, "check_manifest", lambda folder: None)
    monkeypatch.setattr("vast_jax.share.verifying.check_manifest", lambda folder, *needed: None)
    assert "wrong" in {fuzzer.once(seed) for seed in range(60)}

    def crashes(path):
        raise KeyError(path)

    monkeypatch.setattr(fuzzing, "load_style", crashes)
    assert "wrong" in {fuzzer.once(seed) for seed in range(5)}
    monkeypatch.setattr(fuzzing, "load_style", lambda path: (fuzzer.trap.touch(), fuzzer.intact)[1])
    assert fuzzer.once(1) == "wrong" and "has run" in fuzzer.wrong[-1]


def test_the_trap_works(tmp_path):
    pickle.loads(pickle.dumps(Trap(tmp_path / "trap")))
    assert (tmp_path / "trap").exists()


def test_the_same_seed_does_the_same_damage(tmp_path):
    files = {"a.json": b'{"a": [1, {"b": 2}]}', "template/frames.bin": bytes(5000)}
    for seed in range(20):
        one, two = (damaged(np.random.default_rng(seed), files, tmp_path / "trap") for _ in range(2))
        assert one == two
    assert len({damaged(np.random.default_rng(seed), files, tmp_path / "trap")[0] for seed in range(40)}) > 6


def test_wrong_ones_are_told_and_end_in_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(Fuzzer, "once", lambda self, seed: self.wrong.append(f"seed {seed}: x"))
    said = []
    with pytest.raises(UserError, match="2 of 2 damaged bundles"):
        fuzzing.fuzz(made_up_style(tmp_path / "a.style"), 2, say=said.append)
    assert said == ["seed 0: x", "seed 1: x"]
