"""What is measured of expressions before anything is rendered: the pipeline from speech, and what the prompt does.

On clips held out from every training. A clip that fails is named with its fault and does not end the evaluation.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from vast_jax.data.clips import Clip
from vast_jax.evaluate.held_out import mean_expression, next_of, posteriors, speak
from vast_jax.face.model import FaceModel
from vast_jax.media import FPS
from vast_jax.metrics.expression import correlation, mean_distance, mesh_lip_aperture, metric_coordinates
from vast_jax.metrics.expressiveness import blinks_a_minute, diversity, parameter_groups
from vast_jax.metrics.style_similarity import identity_leakage, style_similarity
from vast_jax.metrics.style_space import style_space

PROMPT_FOLDERS = ("mead", "generated", "speeches", "talkshow", "emotion_silent", "silent")
EMOTIONS = {"angry", "contempt", "disgusted", "fear", "happy", "neutral", "sad", "surprised"}  # in MEAD's names
STYLE_SPEECHES = 5  # each spoken under every prompt
DRAWS = 10  # of a minute's blinks: of one draw the count is uncertain by three to six
LEAST_PROMPT = 2 * FPS  # frames: a shorter one has no halves of a second
SPACE_WINDOW = 3 * FPS  # frames of a prompt that give one point of the style space
_STYLE_REGIONS = ("mouth", "face")
_BLINKS = ("minutes", "blinks_prompt", "blinks_result")

Say = Callable[[str], None]


class Outcome(NamedTuple):
    """What a protocol found."""

    figures: dict[str, float]  # over all that was measured
    rows: dict[str, dict[str, float]]  # of each clip or prompt
    failed: dict[str, str]  # clip -> what went wrong


class Space(NamedTuple):
    """Style vectors of windows of prompts whose emotion is known."""

    vectors: np.ndarray  # [N, S]
    emotions: list[str]
    persons: list[str]


def speech_to_expression(
    face: FaceModel, style, train: Sequence[Clip], held_out: Sequence[Clip], chosen: Sequence[Clip], say: Say
) -> Outcome:
    """The whole pipeline from speech, on one person's held-out clips, up to the expression (see `held_out`).

    The speech is the clip's own, and as a control that of the next held-out clip; a second control is the mean
    expression of the training clips.

    Args:
      style: as `models.style_transfer.load_style_model` gives it.
      train, held_out: all clips of the person, by name.
      chosen: those of the held-out clips to measure.

    Returns:
      Mouth error (mean distance of the mouth region's vertices from the tracked expression, mm), correlation of the lip
      aperture and its deviation over the true one's for own and other speech; diversity of the generated and the true
      expressions.
    """
    average = mean_expression(train)
    generated, real = [], []

    def measure(clip: Clip) -> dict[str, float]:
        other = next_of(clip, held_out)
        own, foreign = (speak(style, clip, train, posteriors(speech, len(clip))) for speech in (clip, other))
        at = np.flatnonzero(clip.track.valid)
        true = clip.track.expression[at]
        generated.append(own[at])
        real.append(true)
        aperture = mesh_lip_aperture(face, clip.track.identity, true)
        row = {"mouth_error_mm_mean_expression": mean_distance(face, np.broadcast_to(average, true.shape), true)}
        for name, values in (("own", own[at]), ("other", foreign[at])):
            row[f"mouth_error_mm_{name}"] = mean_distance(face, values, true)
            gap = mesh_lip_aperture(face, clip.track.identity, values)
            row[f"lip_correlation_{name}"] = correlation(gap, aperture)
            row[f"lip_spread_over_real_{name}"] = float(gap.std() / max(aperture.std(), 1e-6))
        return row

    outcome = _each(chosen, measure, say, ("mouth_error_mm_own", "mouth_error_mm_other"))
    outcome = _with_share(outcome, "share_own_below_other", "mouth_error_mm_own", "mouth_error_mm_other")
    outcome = _with_share(outcome, "share_own_below_mean", "mouth_error_mm_own", "mouth_error_mm_mean_expression")
    if generated:
        groups = parameter_groups(face)
        made, true = diversity(generated, real, groups), diversity(real, real, groups)
        outcome.figures.update({f"{name}_generated": value for name, value in made.items()})
        outcome.figures.update({f"{name}_real": value for name, value in true.items()})
    return outcome


def style_matters(
    face: FaceModel, style, prompts: Sequence[Clip], speeches: Sequence[Clip], monologue: np.ndarray, say: Say
) -> Outcome:
    """How far the prompt changes what the face does with the same speech, and whether towards the prompt's manner.

    Each prompt is cut into halves. Between: the halves of two prompts, of another person or another emotion, first
    with first and second with second. Within: the two halves of one prompt. So all styles come from equally long
    windows, and what the noise of a window does is in both. Prompts under two seconds have no such halves and are
    left out. `monologue` is a PPG [T, 41] of about a minute, to count blinks in, which are drawn several times.

    Returns:
      Medians and means over pairs of the distance of the expressions (mean over speeches and frames of the root mean
      square over the vertices of mouth and face, mm), the ratio of the medians, between over within; the style
      similarity of the whole prompts with their results (`metrics.style_similarity`); blinks a minute of all prompts
      and of all results, and of the prompts of ten seconds or more that blink, the share whose result blinks at least
      half and at most twice as often, on average over ten draws.
    """
    to_millimetres = metric_coordinates(face, *_STYLE_REGIONS)
    spoken: dict[str, np.ndarray] = {}  # prompt -> [2 halves, all frames of all speeches, D], millimetres
    given, results = [], []

    def under(manner: np.ndarray) -> np.ndarray:
        return np.concatenate([style.decode(speech.ppg, manner, 0) for speech in speeches])

    def speak_in_halves(prompt: Clip) -> dict[str, float]:
        track, middle = prompt.track, len(prompt) // 2
        halves = [
            under(style.encode(track.expression[part], prompt.ppg[part], prompt.has_speech))
            for part in (slice(0, middle), slice(middle, 2 * middle))
        ]
        spoken[prompt.name] = np.stack(halves) @ to_millimetres
        given.append(track.expression)
        manner = style.encode(track.expression, prompt.ppg, prompt.has_speech)
        results.append(under(manner))
        first, second = spoken[prompt.name]
        told = [style.decode(monologue, manner, seed) for seed in range(DRAWS)]
        return {
            "within_mm": apart(first, second),
            "minutes": len(prompt) / FPS / 60,
            "blinks_prompt": blinks_a_minute(face, track.expression),
            "blinks_result": float(np.mean([blinks_a_minute(face, expression) for expression in told])),
        }

    long_enough = [prompt for prompt in prompts if len(prompt) >= LEAST_PROMPT]
    outcome = _each(long_enough, speak_in_halves, say, ("within_mm",))
    manners = {prompt.name: (prompt.person, emotion_of(prompt.name)) for prompt in prompts}
    between: dict[str, list[float]] = {name: [] for name in spoken}
    distances = []
    for one, two in itertools.combinations(spoken, 2):
        if manners[one] != manners[two]:
            distance = np.mean([apart(a, b) for a, b in zip(spoken[one], spoken[two], strict=True)])
            distances.append(distance)
            between[one].append(distance)
            between[two].append(distance)
    for name, row in outcome.rows.items():
        row["between_mm"] = float(np.median(between[name])) if between[name] else float("nan")
    left_out = len(prompts) - len(long_enough)
    figures = outcome.figures | _blinks(list(outcome.rows.values()))
    figures |= {"left_out_short": left_out, "speeches": len(speeches), "pairs": len(distances)}
    if distances:
        figures |= {"between_mm_median": float(np.median(distances)), "between_mm_mean": float(np.mean(distances))}
        figures["ratio_of_medians"] = figures["between_mm_median"] / max(figures["within_mm_median"], 1e-9)
    if len(given) > 2:
        similarity = style_similarity(given, results, parameter_groups(face))
        figures |= {f"style_similarity_{group}": value for group, value in similarity.correlation.items()}
        figures |= {f"style_similarity_shuffled_{group}": value for group, value in similarity.shuffled.items()}
    return _with_share(outcome._replace(figures=figures), "share_within_below_between", "within_mm", "between_mm")


def _blinks(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """Of all prompts together, for a short one tells little; and whether each result blinks about as its prompt."""
    if not rows:
        return {}
    minutes, prompt, result = (np.array([row[name] for row in rows]) for name in _BLINKS)
    figures = {"blinks_prompts": float(np.sum(minutes * prompt) / minutes.sum()), "blinks_results": result.mean()}
    told = (minutes >= 10 / 60) & (prompt > 0)
    if told.any():
        near = (result >= prompt / 2) & (result <= 2 * prompt)
        figures |= {"blinks_compared": int(told.sum()), "blinks_near_prompt": float(near[told].mean())}
    return figures


def emotion_space(style, prompts: Sequence[Clip]) -> tuple[dict[str, float], Space]:
    """How style vectors are ordered: by emotion across persons (high is wanted), or by who spoke (low).

    Every three seconds of each prompt whose name tells an emotion give a vector.

    Returns:
      Figures of `style_space` and `identity_leakage`, and the vectors.
    """
    vectors, emotions, persons, recordings = [], [], [], []
    for prompt in prompts:
        if not (emotion := emotion_of(prompt.name)):
            continue
        for start in range(0, max(len(prompt) - SPACE_WINDOW, 0) + 1, SPACE_WINDOW):
            part = slice(start, start + SPACE_WINDOW)
            vectors.append(style.encode(prompt.track.expression[part], prompt.ppg[part], prompt.has_speech))
            emotions.append(emotion)
            persons.append(prompt.person)
            recordings.append(prompt.name)
    space = Space(np.array(vectors), emotions, persons)
    if len(set(emotions)) < 2 or len(set(persons)) < 2:
        return {"vectors": len(vectors)}, space
    separation = style_space(space.vectors, emotions, persons)
    leakage = identity_leakage(space.vectors, persons, emotions, recordings)
    figures = {f"emotion_{name}": value for name, value in separation._asdict().items()}
    figures |= {name: value for name, value in leakage._asdict().items() if name.startswith("speaker")}
    return figures, space


def emotion_of(name: str) -> str:
    """The emotion that a clip's name tells, as MEAD's do; "" if none."""
    return next((word for word in name.split("/")[-1].split("_") if word in EMOTIONS), "")


def _each(
    clips: Sequence[Clip], measure: Callable[[Clip], dict[str, float]], say: Say, shown: Sequence[str]
) -> Outcome:
    """Measures every clip; medians and means of every figure over those that did not fail."""
    rows, failed = {}, {}
    for count, clip in enumerate(clips, 1):
        try:
            rows[clip.name] = measure(clip)
            words = "  ".join(f"{name} {rows[clip.name][name]:.3f}" for name in shown)
        except Exception as error:  # whatever is wrong with one clip, the others count
            failed[clip.name] = words = f"{type(error).__name__}: {error}"
        say(f"{count:3d}/{len(clips)} {clip.name}  {words}")
    figures: dict[str, float] = {"clips": len(rows)}
    for name in next(iter(rows.values()), {}):
        values = np.array([row[name] for row in rows.values()])
        if np.isfinite(values).any():
            figures[f"{name}_median"], figures[f"{name}_mean"] = float(np.nanmedian(values)), float(np.nanmean(values))
    return Outcome(figures, rows, failed)


def _with_share(outcome: Outcome, name: str, smaller: str, larger: str) -> Outcome:
    """Adds the share of rows in which one figure is below another."""
    if not outcome.rows:
        return outcome
    pairs = np.array([(row[smaller], row[larger]) for row in outcome.rows.values()])
    pairs = pairs[np.isfinite(pairs).all(1)]
    if not len(pairs):
        return outcome
    share = float((pairs[:, 0] < pairs[:, 1]).mean())
    return outcome._replace(figures=outcome.figures | {name: share})


def apart(first: np.ndarray, second: np.ndarray) -> float:
    """Mean distance of two expressions of the same speech, both [T, ...] in `metric_coordinates`, mm."""
    return float(np.linalg.norm(first - second, axis=-1).mean())
