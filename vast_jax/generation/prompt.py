"""Style prompts: how somebody's face moves while talking, from a video or from a small style file."""

import contextlib
import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np
import platformdirs
from safetensors.numpy import save_file

from vast_jax import media
from vast_jax.animation.live_link import read_csv
from vast_jax.audio import PHONES, SAMPLES_PER_FRAME, fit
from vast_jax.face.model import FaceModel
from vast_jax.face.tracking import recipe, track_video
from vast_jax.files import atomic_path, sha256
from vast_jax.types import UserError
from vast_jax.untrusted import read_safetensors, safetensors_layout, size_of
from vast_jax.weights.bundle import check_manifest, find, read_manifest
from vast_jax.weights.unpacking import opened

STYLE_SUFFIX = ".style"
DEMO_STYLE = Path(str(resources.files("vast_jax") / "assets" / "demo.style"))
_FORMAT = "vast_jax style 1"
_ARRAYS = ("expression", "ppg")
_LARGEST, _WIDEST = 1 << 26, 4096  # bytes, 2.5 h; expression parameters


class Prompt(NamedTuple):
    """What the style encoder needs of a video (N frames at 25 fps): no picture of the person is kept."""

    expression: np.ndarray  # [N, D] float32
    ppg: np.ndarray  # [N, 41] float32, zeros without speech
    has_speech: bool
    face_model: str  # hash of the face model the expression belongs to
    acoustic_model: str  # hash of the acoustic model the PPG comes from
    source: str  # name of the video, for people


def read_prompt(path: str | os.PathLike, face_model: FaceModel, acoustic, face: str = "largest") -> Prompt:
    """Reads a style file or curves, or tracks a video (kept in the user's cache, so that it is tracked once).

    Args:
      path: a video of somebody talking, with or without sound, a `.style` file, curves without sound (`.csv`), or a
        bundle of a style as `vast_jax.share` makes it.
      face_model: the face model to fit.
      acoustic: as from `recogniser.load_acoustic`.
      face: which face to follow where there are several, as in `track_video`.

    Raises:
      UserError: no such file, no face in it, or a style file made with another face or acoustic model.
    """
    path = opened(path)
    if path.is_dir():  # a bundle
        path = find(path).main
    if not path.is_file():
        takes = f"a video of somebody talking, a {STYLE_SUFFIX} file or a .csv of curves"
        raise UserError(f"{path}: no such file; --prompt takes {takes}")
    if path.suffix == STYLE_SUFFIX:
        prompt = load_style(path)
        if prompt.face_model != face_model.hash:
            raise UserError(f"{path}: made with another face model; make it again from the video with --save-style")
        if prompt.has_speech and prompt.acoustic_model != acoustic.hash:
            raise UserError(f"{path}: made with another acoustic model; make it again from the video with --save-style")
        if prompt.expression.shape[1] != len(face_model.expression_names):
            raise UserError(f"{path}: damaged style file: its parameters are not those of its face model")
        return prompt
    if path.suffix.lower() == ".csv":
        expression = read_csv(path, face_model).expression
        silence = np.zeros((len(expression), len(PHONES)), np.float32)
        return Prompt(expression, silence, False, face_model.hash, acoustic.hash, path.name)
    key = sha256(f"{sha256(path)} {recipe(face_model)} {acoustic.hash} {face} {_FORMAT}".encode())
    cached = Path(platformdirs.user_cache_dir("vast_jax")) / "prompts" / f"{key}{STYLE_SUFFIX}"
    if cached.is_file():
        with contextlib.suppress(UserError):  # a damaged cache entry is made anew
            return load_style(cached)
    prompt = _track(path, face_model, acoustic, face)
    with contextlib.suppress(OSError):  # a cache that cannot be written costs time only
        save_style(cached, prompt)
    return prompt


def _track(path: Path, face_model: FaceModel, acoustic, face: str) -> Prompt:
    track, crops = track_video(path, face_model, face=face)
    n_frames = len(track.expression)
    has_speech = media.probe(path).has_audio
    if has_speech:
        speech = media.read_speech(path)[crops.start * SAMPLES_PER_FRAME :]
        ppg = acoustic(fit(speech, n_frames), n_frames)
    else:
        ppg = np.zeros((n_frames, len(PHONES)), np.float32)
    return Prompt(track.expression, ppg, has_speech, face_model.hash, acoustic.hash, path.name)


def save_style(path: str | os.PathLike, prompt: Prompt) -> None:
    """Writes a prompt as a style file: safetensors, about 50 kB for ten seconds."""
    arrays = {name: getattr(prompt, name).astype(np.float16) for name in _ARRAYS}
    notes = {
        "format": _FORMAT,
        "has_speech": str(int(prompt.has_speech)),
        "face_model": prompt.face_model,
        "acoustic_model": prompt.acoustic_model,
        "source": prompt.source,
    }
    notes["sha256"] = _digest(arrays, notes)
    with atomic_path(path) as part:
        save_file(arrays, part, metadata=notes)


def load_style(path: str | os.PathLike) -> Prompt:
    """Reads a style file. Raises UserError if it is none, or damaged, or its manifest lists another."""
    size_of(path, _LARGEST)
    if Path(path).name in (read_manifest(Path(path).parent) or {"files": ()})["files"]:
        check_manifest(Path(path).parent)
    layouts, notes = safetensors_layout(path)
    told = all(isinstance(notes.get(name), str) for name in ("has_speech", "face_model", "acoustic_model", "source"))
    if notes.get("format") != _FORMAT or not told:
        raise UserError(f"{path}: not a style file of vast_jax; --save-style makes one from a video")
    shapes = [layouts[name].shape for name in _ARRAYS] if set(layouts) == set(_ARRAYS) else [()]
    floats = all(layout.dtype == np.float16 for layout in layouts.values())
    if not floats or any(len(shape) != 2 for shape in shapes) or not shapes[0][0] == shapes[1][0] > 0:
        raise UserError(f"{path}: damaged style file: arrays of unequal length, or other arrays")
    if not 0 < shapes[0][1] <= _WIDEST or shapes[1][1] != len(PHONES):
        raise UserError(f"{path}: damaged style file: {shapes[0][1]} parameters and {shapes[1][1]} phones")
    arrays, _ = read_safetensors(path)
    if notes.get("sha256", _digest(arrays, notes)) != _digest(arrays, notes):  # an older file has none
        raise UserError(f"{path}: damaged style file (sha256 differs): copy it again")
    expression, ppg = (arrays[name].astype(np.float32) for name in _ARRAYS)
    made_with = (notes[name] for name in ("face_model", "acoustic_model", "source"))
    return Prompt(expression, ppg, notes["has_speech"] == "1", *made_with)


def _digest(arrays: Mapping[str, np.ndarray], notes: Mapping[str, str]) -> str:
    """Of all that a style file holds but for this."""
    said = sorted((name, note) for name, note in notes.items() if name != "sha256")
    return sha256(b"".join([repr(said).encode(), *(np.ascontiguousarray(arrays[name]).tobytes() for name in _ARRAYS)]))
