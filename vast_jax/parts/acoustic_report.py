"""How well an acoustic model hears: phone accuracy by corpus, visemes, robustness, sounds without speech."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import librosa
import matplotlib.pyplot as plt
import numpy as np

from vast_jax import audio
from vast_jax.audio import PHONES, SILENCE
from vast_jax.data import sounds
from vast_jax.data.labels import UNLABELLED, Utterance
from vast_jax.models.acoustic_model import Recogniser

VISEMES = (  # phones that look alike on the lips
    *(("SIL", "NSN"), ("P", "B", "M"), ("F", "V"), ("TH", "DH"), ("T", "D", "S", "Z", "N", "L")),
    *(
        ("CH", "JH", "SH", "ZH"),
        ("K", "G", "NG", "HH"),
        ("Y", "IY", "IH"),
        ("EY", "EH", "AE"),
        ("AA", "AH", "AY", "AW"),
    ),
    *(("R", "ER"), ("W", "UW", "UH"), ("OW", "AO", "OY")),
)
MOST = 150  # utterances of a corpus that count, evenly chosen
TESTED = 12  # utterances of a corpus that the robustness is measured on
SECONDS = 20  # of each sound without speech
_ORDER = [PHONES.index(phone) for group in VISEMES for phone in group]
_VISEME = np.array([next(i for i, group in enumerate(VISEMES) if phone in group) for phone in PHONES])


def report(recogniser: Recogniser, utterances: Sequence[Utterance], out_dir: str | os.PathLike, step: int) -> dict:
    """Figures of a model on held-out utterances, and pictures of them.

    For each corpus (folder), over the labelled frames that are not silence: "accuracy", the share of right phones;
    "near", where the phone is that of the frame or of one beside it, which is what the timing of the labels may cost;
    "viseme", where what was heard looks like what was said; and "silence", the share of silence heard as such. Then
    "robust_..." on a part of the utterances, all corpora alike, and "without_speech_...", the mean posterior of SIL and
    NSN together. Writes <corpus>.png, posteriors of its first utterance beside its labels, and confusion.png.
    """
    corpora: dict[str, list[Utterance]] = {}
    for utterance in utterances:
        corpora.setdefault(utterance.name.split("/")[0], []).append(utterance)
    figures: dict[str, float] = {}
    confusion = np.zeros((len(PHONES),) * 2, int)
    for corpus, all_of_it in corpora.items():
        chosen = all_of_it[:: -(-len(all_of_it) // MOST)]
        pairs = [(utterance.labels, recogniser.posteriors(_signal(utterance))) for utterance in chosen]
        _plot_posteriors(Path(out_dir) / f"{corpus}.png", pairs[0][1], chosen[0], step)
        heard = [(labels, posteriors.argmax(-1)) for labels, posteriors in pairs]
        for labels, phones in heard:
            known = labels != UNLABELLED
            np.add.at(confusion, (labels[known], phones[known]), 1)
        figures |= {f"{name}_{corpus}": value for name, value in _accuracy(heard).items()}
    figures |= {f"robust_{name}": value for name, value in robustness(recogniser, corpora).items()}
    figures |= {f"without_speech_{name}": value for name, value in without_speech(recogniser).items()}
    _plot_confusion(Path(out_dir) / "confusion.png", confusion, step)
    return figures


def _accuracy(heard: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """Shares of right frames of (labels [T], phones [T])."""
    said, right = [], {"accuracy": [], "near": [], "viseme": []}
    for labels, phones in heard:
        spoken = (labels != UNLABELLED) & (labels != SILENCE)
        before, after = np.roll(labels, 1), np.roll(labels, -1)
        before[0], after[-1] = labels[0], labels[-1]
        exact = labels == phones
        right["accuracy"].append(exact[spoken])
        right["near"].append((exact | (before == phones) | (after == phones))[spoken])
        right["viseme"].append(_VISEME[labels[spoken]] == _VISEME[phones[spoken]])
        said.append((phones == SILENCE)[labels == SILENCE])
    shares = {name: np.concatenate(values) for name, values in (right | {"silence": said}).items()}
    return {name: float(share.mean()) for name, share in shares.items() if share.size}


def robustness(recogniser: Recogniser, corpora: dict[str, list[Utterance]]) -> dict[str, float]:
    """Phone accuracy of the same utterances as they are and changed."""
    chosen = [u for corpus in corpora.values() for u in corpus[:: -(-len(corpus) // TESTED)]]
    rng = np.random.default_rng(0)

    def noisy(speech: np.ndarray) -> np.ndarray:
        level = np.sqrt(np.mean(np.square(speech)))
        return speech + sounds.coloured_noise(len(speech), rng) * np.float32(level * 10 ** (-10 / 20))

    changes: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "clean": lambda speech: speech,
        "noise_10db": noisy,
        "telephone": sounds.telephone,
        "half_level": lambda speech: 0.5 * speech,
        "double_level": lambda speech: np.clip(2 * speech, -1, 1),
    }
    figures = {}
    for name, change in changes.items():
        heard = [(u.labels, recogniser.posteriors(change(_signal(u))).argmax(-1)) for u in chosen]
        figures[name] = _accuracy(heard).get("accuracy", 0.0)
    for pace in (0.85, 1.15):
        heard = []
        for utterance in chosen:
            frames = 2 * round(len(utterance.labels) / pace / 2)
            frame_at = ((np.arange(frames) + 0.5) * pace).astype(int)
            labels = utterance.labels[np.minimum(frame_at, len(utterance.labels) - 1)]
            speech = librosa.effects.time_stretch(_signal(utterance), rate=pace, n_fft=512)
            speech = librosa.util.fix_length(speech, size=frames * audio.HOP)
            heard.append((labels, recogniser.posteriors(speech).argmax(-1)))
        figures[f"pace_{pace}"] = _accuracy(heard).get("accuracy", 0.0)
    return figures


def without_speech(recogniser: Recogniser) -> dict[str, float]:
    """Mean posterior of SIL and NSN together in digital silence, room noise (-50 dB of full scale), music (-25)."""
    samples, rng = SECONDS * audio.SAMPLE_RATE, np.random.default_rng(0)
    heard = {
        "digital_silence": np.zeros(samples, np.float32),
        "room_noise": sounds.coloured_noise(samples, rng) * np.float32(10 ** (-50 / 20)),
        "music": np.concatenate([sounds.music(samples // 5, rng) for _ in range(5)]) * np.float32(10 ** (-25 / 20)),
    }
    wordless = [SILENCE, PHONES.index("NSN")]
    return {name: float(recogniser.posteriors(s)[:, wordless].sum(-1).mean()) for name, s in heard.items()}


def _signal(utterance: Utterance) -> np.ndarray:
    return utterance.speech / np.float32(32768)


def _plot_posteriors(path: Path, posteriors: np.ndarray, utterance: Utterance, step: int) -> None:
    labels = np.where(utterance.labels == UNLABELLED, -1, utterance.labels)
    wanted = (labels[None] == np.arange(len(PHONES))[:, None]).astype(float)
    figure, axes = plt.subplots(3, figsize=(14, 14), sharex=True, gridspec_kw=dict(height_ratios=(1, 2, 2)))
    images = (audio.log_fbank(_signal(utterance)).T, posteriors.T, wanted)
    titles = ("log mel filter bank", f"posteriors, step {step}", "labels")
    for axis, image, title in zip(axes, images, titles, strict=True):
        axis.imshow(image, aspect="auto", origin="lower", interpolation="nearest", cmap="magma")
        axis.set_title(f"{utterance.name}: {title}")
    for axis in axes[1:]:
        axis.set_yticks(range(len(PHONES)), PHONES, fontsize=7)
    axes[-1].set_xlabel("frame (20 ms)")
    figure.tight_layout()
    figure.savefig(path, dpi=70)
    plt.close(figure)


def _plot_confusion(path: Path, counts: np.ndarray, step: int) -> None:
    counts = counts[np.ix_(_ORDER, _ORDER)]
    names, borders = [PHONES[i] for i in _ORDER], np.cumsum([len(group) for group in VISEMES])
    figure, axis = plt.subplots(figsize=(10, 9))
    axis.imshow(counts / np.maximum(counts.sum(1, keepdims=True), 1), cmap="magma", vmin=0, vmax=1)
    for start, end in zip([0, *borders], borders, strict=False):
        corner, size = (start - 0.5, start - 0.5), end - start
        axis.add_patch(plt.Rectangle(corner, size, size, fill=False, edgecolor="cyan"))
    axis.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    axis.set_yticks(range(len(names)), names, fontsize=7)
    title = f"held-out frames, step {step}: share of what was said; boxes are visemes"
    axis.set(xlabel="heard", ylabel="said", title=title)
    figure.tight_layout()
    figure.savefig(path, dpi=70)
    plt.close(figure)
