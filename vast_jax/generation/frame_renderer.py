"""Frames of a trained renderer, one after another in constant memory, whatever the length."""

import functools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vast_jax.audio import ppg_windows
from vast_jax.face.eroded_background import Window, views
from vast_jax.face.mesh_image import draw_mesh
from vast_jax.face.model import FaceModel
from vast_jax.models.renderer import REDUCTION, Renderer, composite, conditions
from vast_jax.types import Array, FaceTrack, Params, poses


class FrameRenderer(NamedTuple):
    """A renderer with its weights and what it draws with."""

    renderer: Renderer
    params: Params
    face_model: FaceModel
    region: int  # pixels of the window that is rendered
    composite: bool  # whether the background's own pixels are kept outside the hole
    texture: np.ndarray | None  # the person's own colours on the mesh (`face.mesh_image`); None: drawn without

    def frames(
        self,
        track: FaceTrack,
        order: np.ndarray,
        expression: np.ndarray,
        ppg: np.ndarray,
        backgrounds: Iterable[np.ndarray],
        envelope: np.ndarray,
    ) -> Iterator[np.ndarray]:
        """Renders T frames, the recurrent state carried along.

        Args:
          track: identity, pose and gaze of the template.
          order: [T], which of its frames each frame takes them from.
          expression: [T, D].
          ppg: [T, 41].
          backgrounds: T frames uint8 [256, 256, 3] of the template.
          envelope: [P, 3], the template's face with all that it does (`envelope_of`).

        Yields:
          uint8 [256, 256, 3]; outside the hole and its edge the background's own bytes, if `composite`.
        """
        step, params, size = _step(self.renderer, self.composite), jax.device_put(self.params), self.region
        carry, seen = self.renderer.initial_carry(1, size, size), None
        heard = ppg_windows(ppg.astype(np.float32))
        followed = views(envelope, poses(track, order), size, REDUCTION)
        waiting = None  # while a frame is computed the next one's mesh is drawn
        for t, (background, (pose, hole, window)) in enumerate(zip(backgrounds, followed, strict=True)):
            mesh = draw_mesh(self.face_model, pose, expression[t : t + 1], self.texture)
            if waiting is not None:
                yield _pasted(*waiting)
            if seen not in (None, window):
                cell, hidden = (_moved(np.asarray(state), seen, window) for state in carry)
                carry = cell, hidden
            picture, carry = step(
                params, window.cut(mesh), window.cut(background[None]), hole[None], heard[t : t + 1], carry
            )
            waiting, seen = (picture, background, window), window
        if waiting is not None:
            yield _pasted(*waiting)


def _moved(state: np.ndarray, before: Window, after: Window) -> np.ndarray:
    """What was remembered of a window [1, h, w, C], as another window sees it; zeros where that one saw nothing."""
    rows, columns = (after.top - before.top) // REDUCTION, (after.left - before.left) // REDUCTION
    height, width = state.shape[1:3]
    padded = np.pad(state, ((0, 0), (abs(rows),) * 2, (abs(columns),) * 2, (0, 0)))
    top, left = abs(rows) + rows, abs(columns) + columns
    return padded[:, top : top + height, left : left + width]


def _pasted(picture: Array, background: np.ndarray, window: Window) -> np.ndarray:
    """The background with the picture in its window."""
    frame = background.copy()
    window.cut(frame)[:] = np.asarray(picture)
    return frame


@functools.lru_cache(maxsize=4)
def _step(renderer: Renderer, keep_template: bool):
    """The compiled step of one frame: a frame at a time is fastest on a CPU, and any length needs no other shape."""

    @jax.jit
    def step(params, mesh, frame, hole, ppg, carry):
        mesh, frame = (x[None].astype(jnp.float32) / 127.5 - 1 for x in (mesh, frame))
        hole = hole[None].astype(jnp.float32) / 255
        generated, carry = renderer.apply({"params": params}, *conditions(mesh, frame, hole), ppg[None], carry)
        image = composite(generated, frame, hole) if keep_template else generated
        return jnp.clip(jnp.round((image[0, 0] + 1) * 127.5), 0, 255).astype(jnp.uint8), carry

    return step
