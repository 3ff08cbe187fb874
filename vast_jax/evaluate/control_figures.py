"""Whether the controls do what they say: intensity makes more of a style, a mix lies between, and lips still close."""

from collections.abc import Sequence

import numpy as np

from vast_jax.audio import runs
from vast_jax.data.clips import Clip
from vast_jax.evaluate.style_figures import Outcome, Say, apart
from vast_jax.face.model import FaceModel
from vast_jax.generation import style_mix
from vast_jax.metrics.expression import mesh_lip_aperture, metric_coordinates
from vast_jax.models.closing import BILABIAL

INTENSITIES = (0.0, 0.5, 1.0, 1.5)
CLOSED = 0.15  # of a clip's 95th percentile of the lip gap: below it lips are shut
_REACH = 2  # frames before and after a phone in which the lips may meet: a frame is 40 ms


def closing_spans(ppg: np.ndarray) -> list[tuple[int, int]]:
    """Stretches of frames, first and end, in which a PPG [T, 41] hears b, p or m rather than not."""
    heard = ppg[:, BILABIAL].sum(1) > 0.5
    return [(run.start, run.stop) for run in runs(heard) if heard[run.start]]


def closings(gap: np.ndarray, spans: Sequence[tuple[int, int]]) -> np.ndarray:
    """The narrowest lip gap [T] about each span over the 95th percentile of all, [spans]: below 0.15 lips met."""
    wide = max(float(np.quantile(gap, 0.95)), 1e-6)
    return np.array([gap[max(begin - _REACH, 0) : end + _REACH].min() / wide for begin, end in spans])


def controls(face: FaceModel, style, own: Clip, prompts: Sequence[Clip], speeches: Sequence[Clip], say: Say) -> Outcome:
    """The same speeches at rising intensity from the manner of `own` to that of each prompt and beyond, and mixed.

    Returns, over all pairs of prompt and speech: the share in which the distance from the own manner (mean over frames
    of the root mean square over the vertices of mouth and face, mm) grows with each intensity; of b, p and m in the
    phone posteriors, the share at which lips meet, at each intensity and in the real clips; over neighbouring prompts,
    the share in which a half and half mix is nearer to both than they are to each other.
    """
    to_millimetres = metric_coordinates(face, "mouth", "face")
    neutral = style.encode(own.track.expression, own.ppg, own.has_speech)
    vectors = [style.encode(prompt.track.expression, prompt.ppg, prompt.has_speech) for prompt in prompts]
    spans = [closing_spans(speech.ppg) for speech in speeches]
    rows, grows, closed, between = {}, [], {intensity: [] for intensity in INTENSITIES}, []

    def gaps(expressions: Sequence[np.ndarray]) -> np.ndarray:
        made = zip(speeches, expressions, spans, strict=True)
        return np.concatenate(
            [closings(mesh_lip_aperture(face, clip.track.identity, x), found) for clip, x, found in made]
        )

    def distances(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> np.ndarray:
        return np.array([apart(a @ to_millimetres, b @ to_millimetres) for a, b in zip(one, other, strict=True)])

    def speak(vector: np.ndarray) -> list[np.ndarray]:
        return [style.decode(speech.ppg, vector, 0) for speech in speeches]

    calm, previous = speak(neutral), None
    for i, (prompt, vector) in enumerate(zip(prompts, vectors, strict=True)):
        spoken = {0.0: calm}
        spoken |= {at: speak(style_mix.strengthen(vector, neutral, at)) for at in INTENSITIES if at}
        reached = {at: distances(calm, x) for at, x in spoken.items()}  # [speeches] each
        grows.append((np.diff(list(reached.values()), axis=0) > 0).all(0))
        for intensity, x in spoken.items():
            closed[intensity].append(gaps(x) < CLOSED)
        full = spoken[1.0]
        if previous is not None:
            half = speak(style_mix.mix([vectors[i - 1], vector], [0.5, 0.5]))
            whole = distances(previous, full)
            between.append((distances(previous, half) < whole) & (distances(half, full) < whole))
        previous = full
        rows[prompt.name] = {f"apart_mm_at_{at:g}": float(mm.mean()) for at, mm in reached.items() if at}
        say(
            f"{i + 1:3d}/{len(prompts)} {prompt.name}  "
            + "  ".join(f"{k} {v:.2f}" for k, v in rows[prompt.name].items())
        )
    if not rows:
        return Outcome({}, {}, {})
    figures = {"prompts": len(prompts), "speeches": len(speeches), "share_growing": float(np.mean(grows))}
    if any(spans):
        figures["closings"] = sum(map(len, spans))
        figures["lips_closed_real"] = float((gaps([clip.track.expression for clip in speeches]) < CLOSED).mean())
        for intensity, met in closed.items():
            figures[f"lips_closed_at_{intensity:g}"] = float(np.mean(np.concatenate(met)))
    if between:
        figures["share_mix_between"] = float(np.mean(between))
    return Outcome(figures, rows, {})
