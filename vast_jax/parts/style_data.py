"""Examples for style transfer: windows of clips with their prompts, drawn so that no corpus drowns the others."""

from collections.abc import Mapping, Sequence

import numpy as np

from vast_jax.audio import PHONES, SILENCE
from vast_jax.data.clips import Clip
from vast_jax.data.pipeline import Example, pad_frames
from vast_jax.models.liveliness import AFTER, BEFORE, blink_rate
from vast_jax.parts.style_liveliness import Calm

LEAST = 25  # frames: a shorter clip is no example
MUTED_RAMP = 4  # frames in which lips go to rest
SHUT_SHARE = 0.1  # of a clip's frames, those with the narrowest lip gap: its rest
BEGINS, UNDER_WAY = 1, 2  # of an example's "blink": a blink begins here, or another one goes on; 0: none
BLINK_FRAMES = BEFORE + AFTER - 1
_SILENT = np.where(np.arange(len(PHONES)) == SILENCE, 0.98, 0.02 / (len(PHONES) - 1)).astype(np.float32)
_ARKIT = ("brow", "cheek", "eye", "jaw", "mouth", "nose", "tongue")


def usable(clips: Sequence[Clip]) -> list[Clip]:
    """The clips that can teach: with speech, a second or longer, a face in most frames."""
    return [clip for clip in clips if clip.has_speech and len(clip) >= LEAST and clip.track.valid.mean() > 0.8]


def shares(clips: Sequence[Clip], grid_share: float) -> np.ndarray:
    """How often to draw each clip, [clips], sum 1.

    The neutral sentences of GRID get `grid_share` together, everything else the rest; within each, a clip is drawn by
    the root of its length, so that a minute of one person does not outweigh many short clips of others.
    """
    grid = np.array([clip.name.startswith("grid/") for clip in clips])
    share = np.sqrt([len(clip) for clip in clips])
    for group, total in ((grid, grid_share), (~grid, 1 - grid_share)):
        share[group] *= total / max(share[group].sum(), 1e-9)
    return share / share.sum()


def mirror(names: Sequence[str]) -> tuple[np.ndarray, np.ndarray] | None:
    """Permutation and sign, both [D], that mirror an expression left to right: mirrored = expression[:, index] * sign.

    ARKit's parameters swap sides; correctives stay, with the other sign where they are odd. None where a name is
    neither.
    """
    if not all(name.startswith((*_ARKIT, "corrective")) for name in names):
        return None
    swapped = [name.replace("Left", "*").replace("Right", "Left").replace("*", "Right") for name in names]
    if set(swapped) != set(names):
        return None
    sign = [-1 if name.startswith("correctiveOdd") else 1 for name in names]
    return np.array([names.index(name) for name in swapped]), np.array(sign, np.float32)


class Examples:
    """Makes the examples of `batch` from clips.

    An example has expression [T, D], ppg [T, 41], mask [T] (a prefix), valid [T] (a face was seen), and the same of its
    prompt under "prompt_...", with prompt_has_speech. T is `window`; expression is in activations.

    Changes that are true to faces, the same for an example and its prompt: half of them are mirrored; all are played
    up to `stretch` faster or slower with their speech, and move up to `amplitude` more or less around their means. In a
    share of `muted` of the examples, though not in their prompts, speech stops for a while: the PPG says silence, the
    `strong` parameters go to their rest, the others go on. `lip_gap` [D] tells by how much each parameter opens the
    lips: rest is where the clip's own are shut.

    With `calm` clips, by name, the target is without blinks, and "blink" [T] says where they were; prompts keep theirs,
    and "prompt_blinks" tells their rate.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        names: Sequence[str],
        window: int,
        other_window: float,
        grid_share: float,
        stretch: float = 0.0,
        amplitude: float = 0.0,
        muted: float = 0.0,
        strong: Sequence[int] = (),
        lip_gap: np.ndarray | None = None,
        calm: Mapping[str, Calm] | None = None,
    ):
        self.clips, self.window, self.other_window = list(clips), window, other_window
        self.stretch, self.amplitude, self.muted, self.strong = stretch, amplitude, muted, list(strong)
        self.calm = calm or {}
        self.rest = {clip.name: _rest(clip, lip_gap) for clip in self.clips} if muted else {}
        self.share, self.mirror = shares(self.clips, grid_share), mirror(list(names))
        self.of_person: dict[str, list[Clip]] = {}
        for clip in self.clips:
            self.of_person.setdefault(_manner(clip), []).append(clip)

    def __call__(self, _index: int, rng: np.random.Generator) -> Example:
        """A random example: its clip by its share, its window anywhere."""
        clip = self.clips[rng.choice(len(self.clips), p=self.share)]
        start = self._start(clip, rng)
        prompt, prompt_start = clip, start
        if rng.random() < self.other_window:
            siblings = self.of_person[_manner(clip)]
            prompt = siblings[rng.integers(len(siblings))]
            prompt_start = max((self._start(prompt, rng) for _ in range(4)), key=lambda at: abs(at - start))
        length = rng.integers(self.window * 2 // 3, self.window + 1)  # prompts differ in length
        pace = np.exp(rng.uniform(-self.stretch, self.stretch))
        amplitude = np.exp(rng.uniform(-self.amplitude, self.amplitude))
        shown = self.calm[clip.name] if self.calm else clip.track
        target = self._cut(clip, shown.expression, start, self.window, pace, amplitude)
        context = self._cut(prompt, prompt.track.expression, prompt_start, length, pace, amplitude)
        if self.calm:
            target["blink"] = pad_frames(_blinks((shown.begins - start) / pace, int(target["mask"].sum())), self.window)
            frames = int(context["mask"].sum())
            began = (self.calm[prompt.name].begins - prompt_start) / pace
            blinks = blink_rate(int(np.sum((began >= 0) & (began < frames))), frames)
            context["blinks"] = np.float32(blinks)
        if rng.random() < self.muted:
            self._mute(target, self.rest[clip.name], rng)
        if self.mirror is not None and rng.random() < 0.5:
            for part in (target, context):
                index, sign = self.mirror
                part["expression"] = part["expression"][:, index] * sign
        has_speech = {"prompt_has_speech": np.array(prompt.has_speech)}
        return target | {f"prompt_{name}": value for name, value in context.items()} | has_speech

    def _mute(self, target: Example, rest: np.ndarray, rng: np.random.Generator) -> None:
        """Lets speech stop in a stretch of 0.4 s to all of the window."""
        frames = int(target["mask"].sum())
        length = min(frames, int(np.exp(rng.uniform(np.log(10), np.log(self.window)))))
        start = rng.integers(-length // 2, frames - length // 2)  # may begin before the window or end after it
        at = np.arange(frames)
        inside = np.minimum(at - start, start + length - 1 - at)
        silent = inside >= 0
        target["ppg"][:frames][silent] = _SILENT
        # lips begin to close before the sound ends and open before it begins
        closed = np.clip((inside + MUTED_RAMP) / MUTED_RAMP, 0, 1)[:, None]
        moved = target["expression"][:frames, self.strong]
        target["expression"][:frames, self.strong] = moved + closed * (rest[self.strong] - moved)

    def _start(self, clip: Clip, rng: np.random.Generator) -> int:
        return int(rng.integers(max(len(clip) - self.window, 0) + 1))

    def _cut(self, clip: Clip, shown: np.ndarray, start: int, length: int, pace: float, amplitude: float) -> Example:
        """`length` frames of the clip, whose face `shown` [T, D] moves, from `start` or as many as there are.

        At another pace and amplitude.
        """
        length = min(length, max(1, int((len(clip) - start) / pace)))
        at = np.minimum(start + pace * np.arange(length), len(clip) - 1)
        low = np.floor(at).astype(int)
        high = np.ceil(at).astype(int)
        share = (at - low)[:, None].astype(np.float32)

        def between(x: np.ndarray) -> np.ndarray:
            x = np.asarray(x, np.float32)
            return (1 - share) * x[low] + share * x[high]

        expression = between(shown)
        if amplitude != 1:
            rest = np.asarray(clip.track.expression, np.float32).mean(0)
            expression = rest + np.float32(amplitude) * (expression - rest)
        arrays = {
            "expression": expression,
            "ppg": between(clip.ppg),
            "mask": np.ones(length, bool),
            "valid": np.asarray(clip.track.valid[low] & clip.track.valid[high], bool),
        }
        return {name: pad_frames(array, self.window) for name, array in arrays.items()}


def _blinks(begins: np.ndarray, frames: int) -> np.ndarray:
    """Which of `frames` frames may begin a blink, where blinks begin at some moments: BEGINS, UNDER_WAY or 0, [T]."""
    blink = np.zeros(frames, np.int32)
    for first in np.round(begins).astype(int):
        free = 0 <= first < frames and not blink[first]
        blink[max(first, 0) : max(first + BLINK_FRAMES, 0)] = UNDER_WAY
        if free:
            blink[first] = BEGINS
    return blink


def _rest(clip: Clip, lip_gap: np.ndarray) -> np.ndarray:
    """A clip's expression [D] with its lips shut: the median of the frames with the narrowest gap."""
    expression = np.asarray(clip.track.expression, np.float32)[clip.track.valid]
    gap = expression @ lip_gap
    return np.median(expression[gap <= np.quantile(gap, SHUT_SHARE)], axis=0)


def _manner(clip: Clip) -> str:
    """Clips with one name here are spoken in one manner: GRID's by speaker, for the rest each clip is its own."""
    return f"grid {clip.person}" if clip.name.startswith("grid/") else clip.name
