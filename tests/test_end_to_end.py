"""From footage that nobody filmed to a figure in a report, by the commands that a person would give."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from vast_jax import infer, media
from vast_jax.evaluate import __main__ as evaluation
from vast_jax.prepare import __main__ as preparation
from vast_jax.synthesis import __main__ as synthesis
from vast_jax.training import loop

SECONDS = 1.04  # of a clip; one of less than a second teaches no style
SPEECH_SECONDS = 1.11  # of what the avatar is to say: no whole number of frames
OF_SEVERAL_CLIPS = {f"dvt_sequence_{of}" for of in ("all", "strong", "weak")}  # of one clip there is no figure
CONFIGS = Path(__file__).parents[1] / "configs"
STEPS = ["--steps", "5", "--batch-size", "1", "--log-every", "1", "--save-every", "0", "--eval-every", "0"]
SMALL_STYLE = [
    "--part.d-style 8 --part.encoder-channels 8 8 8 8 --part.encoder-state 8 --part.strong-width 16",
    "--part.strong-layers 1 --part.strong-heads 2 --part.attention-window 8 --part.weak-width 8",
    "--part.example-frames 24 --part.no-lively",
]
SMALL_RENDERER = [
    "--part.clip-frames 2 --part.patch 64 --part.region 192 --part.widths 4 4 8 --part.ppg-features 4",
    "--part.discriminator-widths 4 4 4 --part.judged-frames 1 --part.perceptual-weight 0 --part.start scratch",
]


def call(module, monkeypatch, *options: str) -> None:
    """A command that reads sys.argv."""
    monkeypatch.setattr(sys, "argv", [module.__name__, *options])
    module.main()


def train(name: str, data: Path, workdir: Path, options: list[str]) -> list[dict]:
    """Five steps; the lines of metrics.jsonl."""
    given = ["--data", str(data), "--workdir", str(workdir), *STEPS, *" ".join(options).split()]
    loop.main([str(CONFIGS / f"{name}.py"), *given])
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.usefixtures("quick_programs")
@pytest.mark.filterwarnings("ignore:step 5. only 0 style dimensions:UserWarning")  # so few steps teach no style
def test_footage_becomes_an_avatar_that_speaks_and_is_measured(tmp_path, monkeypatch):
    # One made-up person in two clips; what lies in a folder "silent" is held out.
    for folder, seed in (("me", 0), ("silent", 1)):
        options = ["--out", str(tmp_path / "footage" / folder), "--seed", str(seed), "--clips", "1", "--clean"]
        call(synthesis, monkeypatch, *options, "--seconds", str(SECONDS), "--size", "256")
    data = tmp_path / "data"
    options = ["--out", str(data), "--person", "me", "--no-score", "--workers", "1"]
    call(preparation, monkeypatch, str(tmp_path / "footage"), *options)

    for name, options in (("style", SMALL_STYLE), ("renderer", SMALL_RENDERER)):
        lines = train(name, data, tmp_path / name, options)
        losses = [line[f"{name}/loss"] for line in lines if f"{name}/loss" in line]
        assert len(losses) == 5 and np.isfinite(losses).all()

    speech = np.sin(np.arange(round(SPEECH_SECONDS * 16000)) / 10) * np.linspace(0, 0.3, round(SPEECH_SECONDS * 16000))
    soundfile.write(tmp_path / "speech.wav", speech, 16000)
    made = ["--avatar", str(tmp_path / "renderer" / "export"), "--style-model", str(tmp_path / "style" / "export")]
    infer.main([*made, "--speech", str(tmp_path / "speech.wav"), "--out", str(tmp_path / "talking.mp4"), "--quiet"])
    frames = list(media.read_frames(tmp_path / "talking.mp4"))
    assert len(frames) == math.ceil(25 * SPEECH_SECONDS) and np.std(frames[0]) > 5

    models = ["--avatar", made[1], "--style", made[3], "--data", str(data)]
    evaluation.main([*models, "--out", str(tmp_path / "report"), "--every", "0"])
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["clips"] == 1 and (tmp_path / "report" / "report.html").is_file()
    for figures in report["figures"].values():
        unknown = {name for name, value in figures.items() if value["mean"] is None}
        assert len(figures) > 15 and unknown <= OF_SEVERAL_CLIPS
