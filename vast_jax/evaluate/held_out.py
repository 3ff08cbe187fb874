"""The held-out clips of an avatar's person as videos: real, generated, and the controls, all coded alike.

The template (identity, pose, background outside the hole) is the held-out clip itself; the prompt is the person's next
training clip in name order; only the expression is generated. The prompt is never the clip itself (docs/paper.md,
Protocol).
"""

import bisect
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vast_jax import media
from vast_jax.audio import SAMPLE_RATE
from vast_jax.data.clips import Clip
from vast_jax.evaluate.measuring import REAL
from vast_jax.files import atomic_path, sha256
from vast_jax.types import Unwritable

GENERATED = "generated"
TRACKED = "tracked expression"
MEAN = "mean expression"
OTHER = "other speech"
SYSTEMS = {
    REAL: "the held-out clips as they are",
    GENERATED: "the whole pipeline from the clip's own speech, in the style of the person's next training clip",
    TRACKED: "the renderer alone, driven by the expression tracked in the real clip",
    MEAN: "control: the renderer driven by the mean expression of the person's training clips, the clip's own speech "
    "still heard by the renderer",
    OTHER: "control: the whole pipeline from the speech of the next held-out clip, under the clip's own sound",
}
CRF = 12  # near lossless: what is measured is the renderer, not the codec
_VERSION = "1"  # of this file: another number makes every video anew


class Cast(NamedTuple):
    """Who is shown, by what, and the clips of the person, sorted by name."""

    actor: object  # an avatar with `render`
    style: object  # StyleModel
    train: Sequence[Clip]
    held_out: Sequence[Clip]
    average: np.ndarray  # mean expression [D] of `train`
    weights: str  # names actor and style


def file_stem(name: str) -> str:
    """A clip's name as a file name: "grid/s1/bbaf2n" is "grid_s1_bbaf2n"."""
    return name.replace("/", "_")


def prompt_of(clip: Clip, train: Sequence[Clip]) -> Clip:
    """The next training clip in name order, the first after the last; `train` is sorted by name."""
    return train[bisect.bisect([other.name for other in train], clip.name) % len(train)]


def next_of(clip: Clip, clips: Sequence[Clip]) -> Clip:
    """The clip after this one, the first after the last."""
    return clips[([other.name for other in clips].index(clip.name) + 1) % len(clips)]


def mean_expression(clips: Sequence[Clip]) -> np.ndarray:
    """Mean expression [D] of all frames of the clips that show a face."""
    return np.concatenate([clip.track.expression[clip.track.valid] for clip in clips]).mean(0)


def speak(style, clip: Clip, train: Sequence[Clip], ppg: np.ndarray) -> np.ndarray:
    """The expression [T, D] of speech, PPG [T, 41], in the style of the clip's prompt."""
    prompt = prompt_of(clip, train)
    manner = style.encode(prompt.track.expression, prompt.ppg, prompt.has_speech)
    return style.decode(ppg, manner, 0)


def posteriors(speech: Clip, frames: int) -> np.ndarray:
    """The PPG of so many frames of a clip's speech [frames, 41]; its last, a silence, is held."""
    return speech.ppg[np.minimum(np.arange(frames), len(speech) - 1)]


def systems_of(held_out: Sequence[Clip]) -> dict[str, str]:
    """SYSTEMS, less the control that needs another clip's speech where there is no other clip."""
    return {name: what for name, what in SYSTEMS.items() if name != OTHER or len(held_out) > 1}


def write_videos(cast: Cast, clip: Clip, out: Path) -> tuple[dict[str, Path], dict[str, Exception]]:
    """Writes out/SYSTEM/STEM.mp4 of every system; what an earlier run made of the same is kept.

    Returns:
      The videos by system, and what went wrong with those that are missing.

    Raises:
      Unwritable: `out` is: no other clip's can be written either.
    """
    stem, note = file_stem(clip.name), out / "made" / f"{file_stem(clip.name)}.json"
    try:
        done = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        done = {}
    paths, failed = {}, {}
    for system in systems_of(cast.held_out):
        path, key = out / system / f"{stem}.mp4", _key(system, cast, clip)
        try:
            if done.get(system) != key or not path.is_file():
                frames = _frames(system, cast, clip)
                tags = None if system == REAL else media.AI_GENERATED
                media.write_video(path, frames, frames.shape[2:0:-1], (clip.speech, SAMPLE_RATE), tags, CRF)
                done[system] = key
                with atomic_path(note) as part:
                    part.write_text(json.dumps(done), encoding="utf-8")
            paths[system] = path
        except Unwritable:
            raise
        except Exception as error:  # one clip that cannot be shown does not end the evaluation
            failed[system] = error
    return paths, failed


def _key(system: str, cast: Cast, clip: Clip) -> str:
    """A hash of all that a video depends on."""
    parts = [_VERSION, system, clip.fingerprint, clip.ppg_hash]
    if system != REAL:
        parts.append(cast.weights)
    if system == MEAN:
        parts.append(cast.average.tobytes().hex())
    if system in (GENERATED, OTHER):
        parts.append(prompt_of(clip, cast.train).fingerprint)
    if system == OTHER:
        parts.append(next_of(clip, cast.held_out).fingerprint)
    return sha256("\n".join(parts).encode())


def _frames(system: str, cast: Cast, clip: Clip) -> np.ndarray:
    render = cast.actor.render
    if system == REAL:
        return clip.frames()
    if system == TRACKED:
        return render(clip, clip.track.expression)
    if system == MEAN:
        return render(clip, np.broadcast_to(cast.average, clip.track.expression.shape))
    ppg = clip.ppg if system == GENERATED else posteriors(next_of(clip, cast.held_out), len(clip))
    return render(clip, speak(cast.style, clip, cast.train, ppg), ppg)
