"""An avatar trained from footage: a renderer's weights and a template clip, in one folder to share.

DIR/renderer.safetensors, renderer.json (card), template/ (a clip as `data.clips.save_clip` writes it), manifest.json
"""

import dataclasses
import functools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from vast_jax.audio import PHONES, ppg_windows
from vast_jax.avatar_check import check_whole
from vast_jax.data.clips import Clip, encode_jpeg, load_clip, save_clip
from vast_jax.face.eroded_background import Window, cut_off, envelope_of, holes_of, views, window_around
from vast_jax.face.mesh_image import draw_mesh
from vast_jax.face.model import FaceModel
from vast_jax.face.rasterise import SIZE
from vast_jax.face.tracking import track_video
from vast_jax.models.renderer import REDUCTION, Renderer, composite, conditions
from vast_jax.types import Array, FaceTrack, Params, UserError, poses, subset
from vast_jax.weights import exports, model_config
from vast_jax.weights.bundle import AVATAR, CONSENT_NOTICE, MANIFEST, TEMPLATE, write_manifest
from vast_jax.weights.unpacking import opened

if TYPE_CHECKING:
    from vast_jax.generate import Performance

TEMPLATE_FRAMES = 250  # the longest template stored: 10 s
LARGEST_CUT = 0.1  # share of a hole that may lie outside the renderer's window
_OPEN_CLIP_PREFIXES = ("grid/",)  # corpora whose licence lets weights be used for anything


@dataclasses.dataclass(frozen=True, eq=False)
class Avatar:
    """Somebody who can be shown: see `generate.Avatar`."""

    renderer: Renderer
    params: Params
    face_model: FaceModel
    template: Clip  # gives identity, pose, gaze and background
    person: str
    region: int  # pixels of the window that is rendered
    composite: bool  # whether the template's own pixels are kept outside the hole
    texture: np.ndarray | None  # the person's own colours on the mesh (`face.mesh_image`); None: drawn without
    reach: np.ndarray | None  # [2, D], lowest and highest activations of the footage (`vast_jax.reach`), where known
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
        reach=None,
    ) -> "Avatar":
        """The avatar of a renderer trained on `clips`, with the longest of them as its template."""
        hashes = {clip.ppg_hash for clip in clips}
        if len(hashes) > 1:
            raise UserError("clips have phone posteriors of several acoustic models: prepare them with --update-ppg")
        template = shorten(max(clips, key=lambda clip: (clip.track.valid.all(), len(clip))), TEMPLATE_FRAMES)
        free = all(clip.name.startswith(_OPEN_CLIP_PREFIXES) for clip in clips)
        card = {
            "data": ", ".join(sorted({clip.name.rpartition("/")[0] for clip in clips})),
            "licence": "CC-BY-4.0 (GRID corpus)" if free else "that of the footage",
            "consent": CONSENT_NOTICE,
        }
        acoustic = hashes.pop() or None
        return cls(
            renderer, params, face_model, template, template.person, region, composite, texture, reach, acoustic, card
        )

    @property
    def name(self) -> str:
        return self.person

    @property
    def size(self) -> tuple[int, int]:
        return SIZE, SIZE

    def frames(self, performance: "Performance") -> Iterator[np.ndarray]:
        """Yields T frames, uint8 [256, 256, 3]; the template is played forth and back under them."""
        from vast_jax.generate import loop  # here, for it brings in the style model, which training has no use for

        order = loop(len(self.template), len(performance.expression))
        return self._play(self.template, order, performance.expression, performance.ppg)

    def render(self, clip: Clip, expression: np.ndarray, ppg: np.ndarray | None = None) -> np.ndarray:
        """A clip of N frames as its own template, with another expression [N, D]: uint8 [N, 256, 256, 3].

        ppg: [N, 41] of other speech than the clip's own.
        """
        heard = clip.ppg if ppg is None else ppg
        return np.stack(list(self._play(clip, np.arange(len(clip)), expression, heard)))

    def holes(self, clip: Clip) -> np.ndarray:
        """The pixels that are generated in each frame of a clip, bool [N, 256, 256]."""
        open_ = np.zeros((len(clip), SIZE, SIZE, 1), bool)
        seen = views(self._envelope(clip), poses(clip.track), self.region, REDUCTION)
        for frame, (_, hole, window) in zip(open_, seen, strict=True):
            window.cut(frame)[:] = hole == 255
        return open_[..., 0]

    def with_template(self, path: str | os.PathLike, face: str = "largest") -> "Avatar":
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

    def save(
        self, directory: str | os.PathLike, constants: Mapping[str, np.ndarray] = {}, figures: Mapping = {}
    ) -> None:
        """Writes the bundle."""
        fields = ("widths", "ppg_features", "recurrence_kernel", "upsampling", "normalised", "textured")
        config = {name: getattr(self.renderer, name) for name in fields}
        card = dict(self.card) | dict(
            part="renderer",
            manifest=MANIFEST,
            config=config | {"region": self.region, "composite": self.composite},
            face_model=self.face_model.hash,
            acoustic_model=self.acoustic_model,
            person=self.person,
            figures=dict(figures),
        )
        save_clip(Path(directory) / "template", self.template)
        own = {"texture": self.texture, "reach": self.reach}
        constants = dict(constants) | {name: value for name, value in own.items() if value is not None}
        exports.export(directory, "renderer", {"renderer": self.params, "constants": constants}, card)
        write_manifest(directory, AVATAR, ("renderer.safetensors", "renderer.json", *TEMPLATE))

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
        return render_frames(self, clip.track, order, expression, ppg, backgrounds, envelope)


def render_frames(
    avatar: Avatar,
    track: FaceTrack,
    order: np.ndarray,
    expression: np.ndarray,
    ppg: np.ndarray,
    backgrounds: Iterable[np.ndarray],
    envelope: np.ndarray,
) -> Iterator[np.ndarray]:
    """Renders T frames one after another in constant memory, the recurrent state carried along.

    Args:
      avatar: whose renderer to use.
      track: identity, pose and gaze of the template.
      order: [T], which of its frames each frame takes them from.
      expression: [T, D].
      ppg: [T, 41].
      backgrounds: T frames uint8 [256, 256, 3] of the template.
      envelope: [P, 3], the template's face with all that it does (`envelope_of`).

    Yields:
      uint8 [256, 256, 3]; outside the hole and its edge the background's own bytes, if the avatar is composite.
    """
    step = _step(avatar.renderer, avatar.composite)
    params = jax.device_put(avatar.params)
    size = avatar.region
    carry, seen = avatar.renderer.initial_carry(1, size, size), None
    heard = ppg_windows(ppg.astype(np.float32))
    followed = views(envelope, poses(track, order), size, REDUCTION)
    waiting = None  # while a frame is computed the next one's mesh is drawn
    for t, (background, (pose, hole, window)) in enumerate(zip(backgrounds, followed, strict=True)):
        mesh = draw_mesh(avatar.face_model, pose, expression[t : t + 1], avatar.texture)
        if waiting is not None:
            yield _pasted(*waiting)
        if seen not in (None, window):
            carry = tuple(_moved(np.asarray(state), seen, window) for state in carry)
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


def renderer_of(config: Mapping, source: str | os.PathLike = "these weights") -> Renderer:
    """The renderer of a card's config. UserError: none that there can be."""
    return model_config.build(Renderer, config, source)


def load_avatar(directory: str | os.PathLike, face_model: FaceModel, acoustic) -> Avatar:
    """Reads a bundle.

    Args:
      directory: as `Avatar.save` left it, or the file that `vast_jax.share pack` made of it.
      face_model: the face model in use.
      acoustic: the acoustic model in use, as from `recogniser.load_acoustic`.

    Raises:
      UserError: missing or damaged, or trained with another face or acoustic model.
    """
    directory = opened(directory)
    if not directory.is_dir():
        raise UserError(f"{directory}: no such avatar; train.py configs/renderer.py leaves one in RUN/export")
    params, constants, card = exports.load_part(directory, "renderer")
    exports.expect(card, face_model=face_model.hash, acoustic_model=acoustic.hash, source=str(directory))
    if missing := [name for name in TEMPLATE if not (directory / name).is_file()]:
        raise UserError(f"{directory} is not a whole avatar ({missing[0]} is missing): export or copy it again")
    template = load_clip(directory / "template")
    config = dict(card["config"])
    region, keep = config.pop("region", None), config.pop("composite", None)
    if type(region) is not int or region not in range(REDUCTION, SIZE + 1, REDUCTION) or type(keep) is not bool:
        raise UserError(f"{directory}: its card asks for region = {repr(region)[:60]}, which no avatar has")
    renderer = renderer_of(config, directory)
    check_whole(renderer, constants, template, card, face_model, directory)
    about = {name: card.get(name) for name in ("data", "licence", "consent", "figures")}
    texture, reach = constants["texture"] if renderer.textured else None, constants.get("reach")
    person, acoustic_model = card["person"], card.get("acoustic_model")
    return Avatar(renderer, params, face_model, template, person, region, keep, texture, reach, acoustic_model, about)


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
