"""An avatar trained from footage: a renderer's weights and a template clip that gives pose and background."""

import dataclasses
import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from vast_jax.animation.curves import Curves
from vast_jax.audio import PHONES
from vast_jax.data.clips import Clip, encode_jpeg, origin_of
from vast_jax.face.eroded_background import cut_off, envelope_of, holes_of, views, window_around
from vast_jax.face.model import FaceModel
from vast_jax.face.tracking import track_video
from vast_jax.generation.frame_renderer import FrameRenderer
from vast_jax.generation.performance import Models, Performance, loop
from vast_jax.models.renderer import REDUCTION, Renderer
from vast_jax.types import CROP, Params, UserError, poses, subset
from vast_jax.weights.bundle import CONSENT_NOTICE

TEMPLATE_FRAMES = 250  # the longest template stored: 10 s
LARGEST_CUT = 0.1  # share of a hole that may lie outside the renderer's window


@dataclasses.dataclass(frozen=True, eq=False)
class TrainedAvatar:
    """A `performance.Avatar` whose pictures a renderer makes."""

    renderer: Renderer
    params: Params
    face_model: FaceModel
    template: Clip  # gives identity, pose, gaze and background
    person: str
    region: int  # pixels of the window that is rendered
    composite: bool  # whether the template's own pixels are kept outside the hole
    texture: np.ndarray | None  # the person's own colours on the mesh (`face.mesh_image`); None: drawn without
    footage_range: np.ndarray | None  # [2, D], lowest and highest activations of the footage, where known
    acoustic_model: str | None  # hash of the acoustic model heard in training; None: trained without sound
    card: Mapping = dataclasses.field(default_factory=dict)

    @classmethod
    def of(
        cls,
        renderer,
        params,
        clips: Sequence[Clip],
        face_model: FaceModel,
        region: int,
        composite: bool,
        texture=None,
        footage_range=None,
    ) -> "TrainedAvatar":
        """The avatar of a renderer trained on `clips`, with the longest of them as its template."""
        hashes = {clip.ppg_hash for clip in clips}
        if len(hashes) > 1:
            raise UserError("clips have phone posteriors of several acoustic models: prepare them with --update-ppg")
        template = shorten(max(clips, key=lambda clip: (clip.track.valid.all(), len(clip))), TEMPLATE_FRAMES)
        card = origin_of(clips, "that of the footage") | {"consent": CONSENT_NOTICE}
        drawn = (renderer, params, face_model, template, template.person, region, composite, texture)
        return cls(*drawn, footage_range, hashes.pop() or None, card)

    @property
    def name(self) -> str:
        return self.person

    @property
    def size(self) -> tuple[int, int]:
        return CROP, CROP

    def frames(self, performance: Performance) -> Iterator[np.ndarray]:
        """Yields T frames, uint8 [256, 256, 3]; the template is played forth and back under them."""
        order = loop(len(self.template), len(performance.expression))
        return self._play(self.template, order, performance.expression, performance.ppg)

    def own_style(self, models: Models) -> np.ndarray:
        """How the person speaks in the template."""
        return models.style.encode(self.template.track.expression, self.template.ppg, self.template.has_speech)

    def moving_as(self, curves: Curves) -> "TrainedAvatar":
        """Itself: head and gaze stay the template's."""
        return self

    def movement(self, performance: Performance) -> tuple[np.ndarray, Curves]:
        """The template's identity, and what is seen; the head moves about its mean place."""
        track = self.template.track
        at = loop(len(self.template), len(performance.expression))
        shown = (track.rotation, track.translation - track.translation.mean(0), track.gaze)
        return track.identity, Curves.of(performance.expression, *(values[at] for values in shown))

    def render(self, clip: Clip, expression: np.ndarray, ppg: np.ndarray | None = None) -> np.ndarray:
        """A clip of N frames as its own template, with another expression [N, D]: uint8 [N, 256, 256, 3].

        ppg: [N, 41] of other speech than the clip's own.
        """
        heard = clip.ppg if ppg is None else ppg
        return np.stack(list(self._play(clip, np.arange(len(clip)), expression, heard)))

    def holes(self, clip: Clip) -> np.ndarray:
        """The pixels that are generated in each frame of a clip, bool [N, 256, 256]."""
        open_ = np.zeros((len(clip), CROP, CROP, 1), bool)
        seen = views(self._envelope(clip), poses(clip.track), self.region, REDUCTION)
        for frame, (_, hole, window) in zip(open_, seen, strict=True):
            window.cut(frame)[:] = hole == 255
        return open_[..., 0]

    def with_template(self, path: str | os.PathLike, face: str = "largest") -> "TrainedAvatar":
        """The same avatar in another video: identity, pose, gaze and background are taken from there.

        Raises:
          UserError: unreadable, no face, or one that moves too much for the renderer's window.
        """
        track, crops = track_video(path, self.face_model, face=face)
        silence = np.zeros((len(track.valid), len(PHONES)), np.float32)
        sound = np.zeros(0, np.int16)
        jpegs = [encode_jpeg(crop) for crop in crops]
        clip = Clip(Path(path).name, self.person, "", track, sound, False, silence, "", jpegs)
        self._envelope(clip)
        return dataclasses.replace(self, template=clip)

    def _envelope(self, clip: Clip) -> np.ndarray:
        """`envelope_of` a clip. UserError: a frame's hole does not fit the window that is rendered."""
        envelope = envelope_of(self.face_model, clip.track)
        for t, pose in enumerate(poses(clip.track)):
            hole = holes_of(envelope, pose)[0]
            if cut_off(hole, window_around(hole, self.region)) > LARGEST_CUT:
                raise UserError(
                    f"the face in {clip.name} is larger than the {self.region} pixels that the avatar renders "
                    f"({t / clip.track.fps:.1f} s): use a calmer template, or train with --part.region 256"
                )
        return envelope

    @functools.cached_property
    def _template_envelope(self) -> np.ndarray:
        return self._envelope(self.template)

    def _play(self, clip: Clip, order: np.ndarray, expression: np.ndarray, ppg: np.ndarray) -> Iterator[np.ndarray]:
        envelope = self._template_envelope if clip is self.template else self._envelope(clip)
        backgrounds = (clip.frame(int(i)) for i in order)
        ppg = ppg if self.acoustic_model else np.zeros_like(ppg)
        drawn_by = FrameRenderer(self.renderer, self.params, self.face_model, self.region, self.composite, self.texture)
        return drawn_by.frames(clip.track, order, expression, ppg, backgrounds, envelope)


def shorten(clip: Clip, frames: int) -> Clip:
    """The first `frames` frames of a clip."""
    if len(clip) <= frames:
        return clip
    samples = len(clip.speech_int16) // len(clip) * frames
    return dataclasses.replace(
        clip,
        track=subset(clip.track, slice(0, frames)),
        speech_int16=clip.speech_int16[:samples],
        ppg=clip.ppg[:frames],
        jpegs=[clip.jpegs[i] for i in range(frames)],
    )
