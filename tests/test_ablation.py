import dataclasses
import json

import jax
import numpy as np
import pytest
from batches import batch_of, constants_of
from talkers import talker

from vast_jax import ablation
from vast_jax.data import pipeline
from vast_jax.evaluate import planning
from vast_jax.parts.style import StylePart
from vast_jax.types import UserError

SMALL = StylePart(
    d_style=8, encoder_channels=(8, 8, 8, 8), encoder_state=8, strong_width=16, strong_layers=1, strong_heads=2,
    attention_window=8, weak_width=8, example_frames=32,
)  # fmt: skip


def networks(changed: dict) -> dict:
    """Shapes of a variant's networks, by their names."""
    part = dataclasses.replace(SMALL, **changed)
    constants = constants_of(part)
    if not part.autoregressive:
        constants |= {"strong": np.arange(10), "weak": np.arange(0)}
    return jax.eval_shape(part.players(constants).init, jax.random.key(0), batch_of(part))["style"]


def test_every_variant_lacks_the_network_that_it_says():
    found = {name: networks(changed) for name, (_, changed) in ablation.VARIANTS.items()}
    size = {name: sum(leaf.size for leaf in jax.tree.leaves(shapes)) for name, shapes in found.items()}
    whole = {"encoder", "enhancer", "strong_decoder", "weak_decoder"}
    assert set(found["full"]) == set(found["no_hf"]) == set(found["no_manner"]) == whole
    assert set(found["only_nar"]) == whole - {"weak_decoder"}
    assert set(found["no_ar"]) == {"strong_decoder"} == set(found["mse"])  # the removals add up
    assert set(found["no_style"]) == {"strong_decoder", "weak_decoder"} == set(found["statistics"])
    assert size["no_hf"] < size["full"] and size["no_manner"] < size["full"] and size["regressed"] < size["full"]
    assert "modulation" in found["full"]["strong_decoder"] and "modulation" not in found["mse"]["strong_decoder"]


def test_the_table_has_means_and_deviations_over_seeds():
    figures = [{"pipeline_mouth_error_mm_own_median": value} for value in (1.0, 2.0, np.nan)]
    head, _, both, one = ablation.table({"full": figures, "mse": figures[:1]}).splitlines()
    assert "mouth error" in head
    assert both.split("|")[2].strip() == "1.50 ± 0.50" and one.split("|")[2].strip() == "1.00"
    assert head.count("|") == both.count("|") == one.count("|")


def test_unknown_variants_are_named(tmp_path):
    with pytest.raises(UserError, match="no variant better: there are full, "):
        ablation.ablate(ablation.Args(tmp_path, tmp_path / "out", variants=("full", "better")))


@pytest.mark.slow
def test_variants_are_trained_measured_and_kept(monkeypatch, tmp_path, capsys):
    hears = ablation.load_acoustic().hash
    clips = {
        split: pipeline.Clips(
            [talker(f"grid/s1/{split}{i}", "s1", 0.1, seed=i + shift, ppg_hash=hears) for i in range(3)]
            + [talker(f"prompts/mead/{split}{i}", f"m{i}", 0.3 * i, seed=i + shift, ppg_hash=hears) for i in range(3)]
        )
        for split, shift in (("train", 0), ("held_out", 50))
    }
    for module in (pipeline, planning):
        monkeypatch.setattr(module, "open_clips", lambda data_dir, split="train": clips[split])
    args = ablation.Args(tmp_path, tmp_path / "out", variants=("full", "no_ar"), steps=2, batch_size=2)
    found = ablation.ablate(args, SMALL)
    assert found["full"][0] != found["no_ar"][0]
    assert all(figures["pipeline_mouth_error_mm_own_median"] > 0 for runs in found.values() for figures in runs)
    assert json.loads((tmp_path / "out" / "figures.json").read_text()).keys() == {"full", "no_ar"}
    assert (tmp_path / "out" / "table.md").read_text().strip() in capsys.readouterr().out
    again = ablation.ablate(args, SMALL)  # trained runs are only measured
    assert again == json.loads(json.dumps(found))
