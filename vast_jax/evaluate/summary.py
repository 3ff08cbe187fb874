"""Figures over all clips: what each is, and means, medians and distances of distributions by system."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from vast_jax.data.grid_corpus import grid_sentence, is_grid_name
from vast_jax.evaluate.measuring import REAL, Measured
from vast_jax.face.model import FaceModel
from vast_jax.metrics.distributions import frechet_distance, kernel_distance
from vast_jax.metrics.expressiveness import diversity, parameter_groups
from vast_jax.metrics.lip_reading import word_errors
from vast_jax.metrics.style_similarity import STATISTICS, style_similarity
from vast_jax.metrics.sync import compare

_CROP = "256 crop, outer eye corners 72 px apart"
_PAIRS = "real and made video in the same crop, frame by frame"


class Figure(NamedTuple):
    """What a figure is."""

    title: str
    unit: str
    better: str  # "high", "low" or "" (as the real video's)
    convention: str
    digits: int = 3


FIGURES = {
    "cpbd": Figure("CPBD", "", "", f"sharpness without reference (Narvekar and Karam 2011), {_CROP}, mean of frames"),
    "cpbd_hole": Figure("CPBD, hole", "", "", "the same, only edges inside the hole"),
    "ssim": Figure("SSIM", "", "high", f"Gaussian window of sigma 1.5, data range 255, RGB; {_PAIRS}"),
    "ssim_hole": Figure("SSIM, hole", "", "high", "mean of the SSIM map inside the hole"),
    "psnr": Figure("PSNR", "dB", "high", "whole frame; equal frames count as 60 dB", 2),
    "psnr_hole": Figure("PSNR, hole", "dB", "high", "inside the hole", 2),
    "lpips": Figure("LPIPS", "", "low", "version 0.1, VGG16, at 256 px; every few frames"),
    "lpips_hole": Figure("LPIPS, hole", "", "low", "its maps averaged inside the hole"),
    "fd_vgg16": Figure(
        "FD(vgg16)", "", "low", "Frechet distance of relu5_3 averaged over the frame (512 features); not an FID", 2
    ),
    "fd_vgg16_hole": Figure("FD(vgg16), hole", "", "low", "relu5_3 averaged over the hole", 2),
    "kd_vgg16": Figure("KD(vgg16)", "", "low", "unbiased kernel distance of the same features, (x.y / 512 + 1)^3", 4),
    "kd_vgg16_hole": Figure("KD(vgg16), hole", "", "low", "the same, averaged over the hole", 4),
    "fid": Figure("FID", "", "low", "Frechet distance of the given Inception weights' pool3, 2048 features", 2),
    "lmd": Figure("LMD", "px", "low", f"68 landmarks, Umeyama similarity of all 68 each frame, mean L2; {_CROP}"),
    "lmd_m": Figure("LMD-m", "px", "low", "the same alignment, 20 points of the mouth"),
    "lmd_interocular": Figure("LMD / interocular", "", "low", "each frame over its outer eye corners' distance", 4),
    "lmd_m_interocular": Figure("LMD-m / interocular", "", "low", "the same, mouth", 4),
    "lip_correlation": Figure("lip gap correlation", "", "high", "Pearson over a clip, landmarks' inner-lip gap"),
    "lip_lag": Figure("lip lag", "frames", "", "shift at which the gap correlates best; positive: made video late", 2),
    "mouth_error": Figure("mouth error", "mm", "low", "mouth vertices, of the expressions tracked in both videos"),
    "sync_distance": Figure(
        "Sync-D", "", "low", "SyncNet of this project, 5-frame windows, shift +-15; 10: unrelated. Not published LSE-D"
    ),
    "sync_confidence": Figure("Sync-C", "", "high", "median over shifts minus Sync-D; not published LSE-C"),
    "sync_offset": Figure("offset", "frames", "", "shift of least distance; positive: sound late", 2),
    "sync_offset_within_1": Figure("offset within 1 frame", "", "high", "share of clips"),
    "wer": Figure("WER", "", "low", "words read from lips without grammar, jiwer, all edits over all words (GRID)"),
    "cer": Figure("CER", "", "low", "characters, likewise, spaces among them"),
    "letters_right": Figure("letters right", "", "high", "share of GRID's letters, the hardest word, without grammar"),
    "wer_grammar": Figure("WER, grammar", "", "low", "reading bound to GRID's sentence form"),
    "dvt_frame_all": Figure("Dvt, all", "", "", "100 mean distance of a clip's frames / sqrt(D); compare ratios", 2),
    "dvt_frame_strong": Figure("Dvt, strong", "", "", "the same, parameters strongly tied to speech", 2),
    "dvt_frame_weak": Figure("Dvt, weak", "", "", "the same, weakly tied", 2),
    "dvt_sequence_all": Figure("Dvt of clips", "", "", "distance of clips' means and spreads in real spreads", 2),
    "dvt_sequence_strong": Figure("Dvt of clips, strong", "", "", "the same, strongly tied to speech", 2),
    "dvt_sequence_weak": Figure("Dvt of clips, weak", "", "", "the same, weakly tied", 2),
    "flicker": Figure("flicker", "grey levels", "", "frame to frame, in the hole's half that is stiller when real", 2),
    "tremble": Figure("tremble", "grey levels", "", "of the mouth's pixels above 6 Hz, effective value", 2),
    "jitter": Figure("jitter", "mm/frame2", "", "mean length of mouth vertices' acceleration"),
    "stability": Figure("stability (MSI)", "", "", "1 / variance of the mouth's acceleration (StableFace)", 1),
    "motion_in_silence": Figure("motion in silence", "mm/s", "low", "speed of the lips between silent frames", 2),
    "blinks": Figure("blinks", "a minute", "", "of the tracked expression, with hysteresis", 1),
    "style_similarity_all": Figure(
        "style similarity",
        "",
        "high",
        "rank correlation over prompts of what each parameter does (mean, spread, speed, range); the clips' different "
        "speech adds noise",
    ),
    "style_similarity_strong": Figure("style similarity, strong", "", "high", "parameters strongly tied to speech"),
    "style_similarity_weak": Figure("style similarity, weak", "", "high", "weakly tied"),
    **{
        f"style_similarity_{kind}": Figure(f"style similarity, {kind}", "", "high", f"of all parameters' {kind} alone")
        for kind in STATISTICS
    },
    "style_similarity_shuffled": Figure("style similarity, shuffled", "", "", "each with another's prompt: chance"),
    "frames": Figure("frames", "", "", "measured of each clip", 0),
    "frames_without_face": Figure("frames without a face", "", "low", "no landmarks found", 2),
}
TABLE_1 = ("cpbd", "ssim", "fd_vgg16", "lmd", "lmd_m", "sync_distance", "sync_confidence", "wer")
FEATURES = {"fd_vgg16": 512, "fd_vgg16_hole": 512, "fid": 2048}  # fewer frames than features: far too high
PAPER_TABLE_1 = {  # VAST, Table 1 (GRID): CPBD, SSIM, FID, LMD, LMD-m, Sync-D, Sync-C, WER
    "paper: real": (0.265, None, None, 0, 0, 6.959, 7.039, 0.067),
    "paper: Wav2Lip": (0.1174, 0.946, 22.6, 1.616, 1.760, 6.472, 8.038, 0.500),
    "paper: VAST": (0.2265, 0.922, 21.0, 1.444, 1.479, 6.656, 7.571, 0.233),
}
OTHER_INSTRUMENTS = ("fd_vgg16", "sync_distance", "sync_confidence", "wer")  # columns in which the paper's differ
PAPER_NOTE = (
    "In brackets: of other instruments than ours. The paper's FID, Sync-D and Sync-C are of Inception and of the "
    "published SyncNet, its WER of a lip reader trained on all of GRID. Its crop and its held-out clips are unknown: "
    "CPBD, SSIM, LMD and LMD-m compare only roughly as well."
)
OTHER_SOUND = "real, next clip's sound"  # a control of the sync metric itself


class Value(NamedTuple):
    """A figure of a system."""

    mean: float  # over clips, or the figure itself where it is of all clips together
    median: float  # NaN where the figure is of all clips together
    n: int  # clips, frames (distances of distributions), words (WER) or characters (CER)


def conventions(published_sync: bool) -> dict[str, str]:
    """What each figure is, by name; with the published SyncNet the sync figures are those of other papers."""
    found = {name: figure.convention for name, figure in FIGURES.items()}
    if published_sync:
        found["sync_distance"] = "LSE-D: the given SyncNet on the whole crop at 224 px, 5-frame windows, shift +-15"
        found["sync_confidence"] = "LSE-C: median over shifts minus LSE-D"
    return found


def summarise(
    clips: Mapping[str, Mapping[str, Measured]],
    systems: Sequence[str],
    face: FaceModel,
    unit: float,
    prompts: Mapping[str, np.ndarray] | None = None,
) -> dict[str, dict[str, Value]]:
    """Figures of every system over the clips {name: {system: `Measured`}} that it has.

    unit: of sync distances. prompts: expression [T, D] by clip name, for the style similarity.
    """
    table = {}
    for system in systems:
        measured = {name: found[system] for name, found in clips.items() if system in found}
        if not measured:
            continue
        table[system] = _over_clips([m.figures for m in measured.values()])
        real = {name: clips[name][REAL] for name in measured}
        table[system] |= _distributions(measured, None if system == REAL else real)
        table[system] |= _read(measured) | _diversity(measured, real, face)
        if prompts:
            table[system] |= _style(measured, prompts, face)
    if other := _other_sound(clips, unit):
        table[OTHER_SOUND] = other
    return table


def _over_clips(rows: list[dict[str, float]]) -> dict[str, Value]:
    found = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = np.array([row.get(name, np.nan) for row in rows], float)
        values = values[np.isfinite(values)]
        if name in FIGURES and len(values):
            found[name] = Value(float(values.mean()), float(np.median(values)), len(values))
    offsets = [row["sync_offset"] for row in rows if "sync_offset" in row]
    if offsets:
        found["sync_offset_within_1"] = _of_all(np.mean(np.abs(offsets) <= 1), len(offsets))
    return found


def _distributions(measured: Mapping[str, Measured], real: Mapping[str, Measured] | None) -> dict[str, Value]:
    found = {}
    if real is None:
        return found
    for key, names in {
        "vgg": ("fd_vgg16", "kd_vgg16"),
        "vgg_hole": ("fd_vgg16_hole", "kd_vgg16_hole"),
        "inception": ("fid", None),
    }.items():
        shared = [name for name, m in measured.items() if key in m.arrays and key in real[name].arrays]
        if not shared:
            continue
        made, true = (np.concatenate([group[name].arrays[key] for name in shared]) for group in (measured, real))
        found[names[0]] = _of_all(frechet_distance(made, true), len(made))
        if names[1]:
            found[names[1]] = _of_all(kernel_distance(made, true), len(made))
    return found


def _read(measured: Mapping[str, Measured]) -> dict[str, Value]:
    said = {name: grid_sentence(name) for name, m in measured.items() if m.words and is_grid_name(name)}
    if not said:
        return {}
    count, characters = sum(map(len, said.values())), sum(len(" ".join(words)) for words in said.values())
    greedy, grammar = (
        word_errors(list(said.values()), [tuple(measured[name].words[kind].split()) for name in said])
        for kind in ("greedy", "grammar")
    )
    return {
        "wer": _of_all(greedy["wer"], count),
        "cer": _of_all(greedy["cer"], characters),
        "letters_right": _of_all(greedy["letters"], len(said)),
        "wer_grammar": _of_all(grammar["wer"], count),
    }


def _diversity(measured: Mapping[str, Measured], real: Mapping[str, Measured], face: FaceModel) -> dict[str, Value]:
    made, true = ([group[name].arrays["expression"] for name in measured] for group in (measured, real))
    figures = diversity(made, true, parameter_groups(face))
    return {name: _of_all(value, len(made)) for name, value in figures.items() if name in FIGURES}


def _style(measured: Mapping[str, Measured], prompts: Mapping[str, np.ndarray], face: FaceModel) -> dict[str, Value]:
    names = [name for name in measured if name in prompts]
    if len(names) < 3:
        return {}
    similarity = style_similarity(
        [prompts[name] for name in names],
        [measured[name].arrays["expression"] for name in names],
        parameter_groups(face),
    )
    figures = similarity.correlation | similarity.by_statistic["all"] | {"shuffled": similarity.shuffled["all"]}
    return {f"style_similarity_{name}": _of_all(value, len(names)) for name, value in figures.items()}


def _other_sound(clips: Mapping[str, Mapping[str, Measured]], unit: float) -> dict[str, Value]:
    """The real mouths against the sound of the next clip: what the sync metric says of what does not fit."""
    arrays = [found[REAL].arrays for found in clips.values() if REAL in found]
    arrays = [a for a in arrays if "sync_pictures" in a]
    rows = []
    for own, following in zip(arrays, [*arrays[1:], *arrays[:1]], strict=True):
        count = min(len(own["sync_pictures"]), len(following["sync_sounds"]))
        found = compare(own["sync_pictures"][:count], following["sync_sounds"][:count], unit)
        rows.append({"sync_distance": found.distance, "sync_confidence": found.confidence, "sync_offset": found.offset})
    return _over_clips(rows) if len(rows) > 1 else {}


def _of_all(value: float, n: int) -> Value:
    return Value(float(value), float("nan"), n)


def remarks(table: Mapping[str, Mapping[str, Value]]) -> list[str]:
    """What to know before believing a table."""
    found = []
    for name, features in FEATURES.items():
        counts = [values[name].n for values in table.values() if name in values]
        if counts and min(counts) < features:
            found.append(
                f"{FIGURES[name].title} of {min(counts)} frames with {features} features is far too high: compare only "
                "figures of as many frames, or look at more frames (--every)"
            )
    return found
