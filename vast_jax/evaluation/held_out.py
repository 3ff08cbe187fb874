"""The held-out clips of an avatar's person as videos: real, generated, and the controls, all coded alike.

Protocol (spec 10): the template (identity, pose, background outside the hole) is the held-out clip itself; the prompt
is the person's next training clip in name order; only the expression is generated. The prompt is never the clip itself.
"""

import bisect
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from vast_jax import media
from vast_jax.audio import SAMPLE_RATE
from vast_jax.data.clips import Clip
from vast_jax.evaluation.measuring import REAL
from vast_jax.files import atomic_path

GENERATED = "generated"
TRACKED = "tracked expression"
MEAN = "mean expression"
OTHER = "other speech"
SYSTEMS = {
    REAL: "the held-out clips as they are",
    GENERATED: "the whole pipeline from the clip's own speech, in the style of the person's next training clip",
    TRACKED: "the renderer alone, driven by the expression tracked in the real clip",
    MEAN: "control: the renderer driven by the mean expression of the person's training clips",
    OTHER: "control: the whole pipeline from the speech of the next held-out clip, under the clip's own sound",
}
CRF = 12  # near lossless: what is measured is the renderer, not the codec


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


def write_videos(
    actor, style, clip: Clip, train: Sequence[Clip], held_out: Sequence[Clip], average: np.ndarray, out: Path, key: str
) -> Iterator[str]:
    """Writes out/SYSTEM/STEM.mp4 of every system; what an earlier run made with the same `key` is kept.

    Yields the system after each video that was made.
    """
    stem, note = file_stem(clip.name), out / "made" / f"{file_stem(clip.name)}.json"
    done = json.loads(note.read_text(encoding="utf-8")) if note.is_file() else {}
    for system in SYSTEMS:
        path = out / system / f"{stem}.mp4"
        if done.get(system) == key and path.is_file():
            continue
        frames = _frames(system, actor, style, clip, train, held_out, average)
        tags = None if system == REAL else media.AI_GENERATED
        media.write_video(path, frames, frames.shape[2:0:-1], (clip.speech, SAMPLE_RATE), tags, CRF)
        done[system] = key
        with atomic_path(note) as part:
            part.write_text(json.dumps(done), encoding="utf-8")
        yield system


def _frames(system: str, actor, style, clip: Clip, train, held_out, average: np.ndarray) -> np.ndarray:
    if system == REAL:
        return clip.frames()
    if system == TRACKED:
        return actor.render(clip, clip.track.expression)
    if system == MEAN:
        return actor.render(clip, np.broadcast_to(average, clip.track.expression.shape))
    ppg = clip.ppg if system == GENERATED else posteriors(next_of(clip, held_out), len(clip))
    return actor.render(clip, speak(style, clip, train, ppg), ppg)
