"""Synthetic talking-head footage of people who do not exist, with exactly known truth.

    python -m vast_jax.synthesis --out DIR --clips 10 --seconds 4 --seed 0        # videos, and the truth beside each
    python -m vast_jax.synthesis.measure                                          # how well the tracker finds it again

In Python: `scene = random_scene(rng, model)`; change what you like with `dataclasses.replace`; then `render(scene,
model)` yields its frames, `truth(scene, model)` says what is in them, and `write_clip(path, scene, model)` writes both.
"""

from vast_jax.synthesis.clips import Truth, load_truth, speech, truth, write_clip
from vast_jax.synthesis.rendering import occlusion, render
from vast_jax.synthesis.scene import Scene, Sensor, random_scene

__all__ = [
    "Scene",
    "Sensor",
    "Truth",
    "load_truth",
    "occlusion",
    "random_scene",
    "render",
    "speech",
    "truth",
    "write_clip",
]
