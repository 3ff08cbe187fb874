"""Bundles to share: an avatar of the face and acoustic models that are shipped, random weights, and a style."""

import dataclasses
from pathlib import Path

import numpy as np
from footage import made_up_avatar, made_up_clip

from vast_jax.generation.avatar_bundle import save_avatar
from vast_jax.generation.prompt import Prompt, save_style
from vast_jax.share.about import shipped_models
from vast_jax.share.packing import pack

HERE = shipped_models()


def made_up_export(folder: Path, frames: int = 4) -> Path:
    """An avatar as training leaves it."""
    clip = dataclasses.replace(made_up_clip(frames=frames), ppg_hash=HERE["acoustic_model"])
    save_avatar(made_up_avatar([clip]), folder, figures={"l1": 1.5})
    return folder


def made_up_style(path: Path, frames: int = 30) -> Path:
    rng = np.random.default_rng(0)
    expression, ppg = rng.uniform(0, 0.3, (frames, 72)), rng.dirichlet(np.ones(41), frames)
    save_style(
        path, Prompt(expression.astype(np.float32), ppg.astype(np.float32), True, *HERE.values(), "somebody.mp4")
    )
    return path


def packed(source: Path, out: Path) -> Path:
    pack(source, out, "CC0", "she agreed to it", "me")
    return out
