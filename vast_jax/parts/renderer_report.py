"""What a person sees of a renderer in training: held-out clips, driven by their tracked expression."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vast_jax import media
from vast_jax.audio import SAMPLE_RATE
from vast_jax.data.clips import Clip
from vast_jax.face.mesh_image import draw_mesh
from vast_jax.generation.avatar import TrainedAvatar, shorten
from vast_jax.metrics.image import psnr, ssim
from vast_jax.reporting import image_grid, save_png
from vast_jax.types import subset

CLIPS, FRAMES, COLUMNS = 3, 50, 8  # clips looked at, frames of each, pictures of each


def report(avatar: TrainedAvatar, clips: Sequence[Clip], mean_expression: np.ndarray, out_dir) -> dict[str, float]:
    """Renders clips with their tracked expression, and as a control with the mean expression [D].

    Writes <clip>.png: rows real, mesh, eroded background, generated, generated from the mean expression; and
    <clip>.mp4, real beside generated, with the sound.

    Returns:
      L1 (of 255), PSNR in dB and SSIM inside the hole, means over frames and clips, and those of the control.
    """
    rows = []
    for clip in (clips[i] for i in np.linspace(0, len(clips) - 1, min(CLIPS, len(clips))).round().astype(int)):
        clip = shorten(clip, FRAMES)
        track, real, holes = clip.track, clip.frames(), avatar.holes(clip)
        tracked = avatar.render(clip, track.expression)
        control = avatar.render(clip, np.broadcast_to(mean_expression, track.expression.shape))
        row = {}
        for name, made in (("", tracked), ("_mean_expression", control)):
            seen = list(zip(made[track.valid], real[track.valid], holes[track.valid], strict=True))
            row[f"l1_hole{name}"] = np.mean([np.abs(a[hole].astype(float) - b[hole]).mean() for a, b, hole in seen])
            row[f"psnr_hole{name}"] = np.mean([psnr(*each) for each in seen])
            row[f"ssim_hole{name}"] = np.mean([ssim(*each) for each in seen])
        rows.append(row)
        at = np.linspace(0, len(real) - 1, COLUMNS).round().astype(int)
        mesh = draw_mesh(avatar.face_model, subset(track, at), track.expression[at])
        eroded = np.where(holes[at][..., None], np.uint8(128), real[at])
        pictures = [real[at], mesh[..., :3], eroded, tracked[at], control[at]]
        file = Path(out_dir) / clip.name.replace("/", "+")
        save_png(file.with_name(f"{file.name}.png"), image_grid([list(row) for row in pictures]))
        beside = np.concatenate([real, tracked], axis=2)
        sound = (clip.speech, SAMPLE_RATE) if clip.has_speech else None
        media.write_video(f"{file}.mp4", beside, beside.shape[2:0:-1], sound, media.AI_GENERATED)
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
