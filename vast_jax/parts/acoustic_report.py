"""How well an acoustic model hears: phones and visemes by corpus, speakers, robustness, sounds without speech."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import librosa
import matplotlib.pyplot as plt
import numpy as np

from vast_jax import audio
from vast_jax.audio import NOISE, PHONES, SILENCE, VISEMES
from vast_jax.data import sounds
from vast_jax.data.labels import UNLABELLED, LabelledUtterances, Utterance
from vast_jax.models.recogniser import Recogniser

MOST = 150  # utterances of a corpus that count, evenly chosen
COMPARED = 3000  # phones of a corpus that are compared with each other
TESTED = 12  # utterances of a corpus that the robustness is measured on
SECONDS = 20  # of each sound without speech
_ORDER = [PHONES.index(phone) for group in VISEMES for phone in group]
_VISEME = np.array([next(i for i, group in enumerate(VISEMES) if phone in group) for phone in PHONES])


def report(recogniser: Recogniser, utterances: LabelledUtterances, out_dir: str | os.PathLike, step: int) -> dict:
    """Figures of a model on held-out utterances, and pictures of them.

    For each corpus (folder), over the labelled frames that are not silence: "accuracy", the share of right phones;
    "near", where the phone is that of the frame or of one beside it, which is what the timing of the labels may cost;
    "viseme", where what was heard looks like what was said; and "silence", the share of silence heard as such; the
    first two also of video frames, "accuracy_video" and "near_video", which are what an avatar gets, and
    "near_video_phone", where silence heard beside a pause does not count; for corpora of several speakers those of
    `speaker_independence`. Then "robust_..." on a part of the utterances, all corpora alike, and "without_speech_...",
    the mean posterior of SIL and NSN together. Writes <corpus>.png, posteriors of its first utterance beside its
    labels, and confusion.png.
    """
    chosen = {
        corpus: [utterances[i] for i in places[:: -(-len(places) // MOST)]]
        for corpus, places in utterances.corpora().items()
    }
    figures: dict[str, float] = {}
    confusion = np.zeros((len(PHONES),) * 2, int)
    for corpus, spoken in chosen.items():
        posteriors = [recogniser.posteriors(utterance.signal) for utterance in spoken]
        _plot_posteriors(Path(out_dir) / f"{corpus}.png", posteriors[0], spoken[0], step)
        heard = [(utterance.labels, p.argmax(-1)) for utterance, p in zip(spoken, posteriors, strict=True)]
        for labels, phones in heard:
            known = labels != UNLABELLED
            np.add.at(confusion, (labels[known], phones[known]), 1)
        seen = [(labels, audio.to_video_rate(p).argmax(-1)) for (labels, _), p in zip(heard, posteriors, strict=True)]
        found = _accuracy(heard) | _video_accuracy(seen) | speaker_independence(spoken, posteriors)
        figures |= {f"{name}_{corpus}": value for name, value in found.items()}
    figures |= {f"robust_{name}": value for name, value in robustness(recogniser, chosen).items()}
    figures |= {f"without_speech_{name}": value for name, value in without_speech(recogniser).items()}
    _plot_confusion(Path(out_dir) / "confusion.png", confusion, step)
    return figures


def speaker_independence(utterances: Sequence[Utterance], posteriors: Sequence[np.ndarray]) -> dict[str, float]:
    """Whether a phone is nearer to itself by another speaker than to another phone by the same one.

    Of the middle frames of phones: "retrieved", the share whose nearest frame by another speaker is the same phone, and
    "apart", the share of triplets (a frame, its phone by another speaker, another phone by its own) where the phone is
    nearer than the speaker; both of posteriors [2T, 41], by the Hellinger distance, and of the log filter bank, whose
    mean over each utterance is taken off, by the Euclidean one. Empty for fewer than two speakers, who are told apart
    by what stands before the first "-" of a name.
    """
    middles = [_middles(utterance.labels) for utterance in utterances]
    speaker = np.concatenate(
        [np.full(len(at), u.name.split("-")[0], object) for u, at in zip(utterances, middles, strict=True)]
    )
    phone = np.concatenate([u.labels[at] for u, at in zip(utterances, middles, strict=True)])
    rng = np.random.default_rng(0)
    kept = rng.permutation(len(phone))[:COMPARED]
    speaker, phone = speaker[kept], phone[kept]
    if len(set(speaker)) < 2:
        return {}
    banks = [audio.log_fbank(utterance.signal) for utterance in utterances]
    features = {
        "ppg": np.concatenate([np.sqrt(p[at]) for p, at in zip(posteriors, middles, strict=True)])[kept],
        "fbank": np.concatenate([(b - b.mean(0))[at] for b, at in zip(banks, middles, strict=True)])[kept],
    }
    same_phone, same_speaker = phone[:, None] == phone, speaker[:, None] == speaker
    figures = {}
    for name, x in features.items():
        square = np.square(x).sum(-1)
        distance = square[:, None] + square - 2 * x @ x.T
        figures[f"retrieved_{name}"] = float(
            (phone[np.where(same_speaker, np.inf, distance).argmin(-1)] == phone).mean()
        )
        nearer = []
        for row, alike, own in zip(distance, same_phone, same_speaker, strict=True):
            positive, negative = row[alike & ~own], row[~alike & own]
            if len(positive) and len(negative):
                nearer.append((positive[:, None] < negative).mean())
        figures[f"apart_{name}"] = float(np.mean(nearer))
    return figures


def _middles(labels: np.ndarray) -> np.ndarray:
    """The frames in the middle of the phones of `labels` [T]."""
    phones = [run for run in audio.runs(labels) if labels[run.start] not in (SILENCE, NOISE, UNLABELLED)]
    return np.array([(run.start + run.stop) // 2 for run in phones], int)


def _right(labels: np.ndarray, phones: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the frames with a phone, whether it was heard; whether what was heard is said there or a frame beside it; and
    whether that is a phone.

    labels [n T]: what is said, n in each of the T frames of phones [T].
    """
    own = labels.reshape(len(phones), -1)
    around = np.pad(own, ((1, 1), (0, 0)), mode="edge")
    around = np.concatenate([around[:-2], own, around[2:]], 1)
    phone = (own != SILENCE) & (own != UNLABELLED)
    exact, near = (phone & (own == phones[:, None])).any(1), (around == phones[:, None]).any(1)
    spoken = phone.any(1)
    return exact[spoken], near[spoken], (near & (phones != SILENCE))[spoken]


def _accuracy(heard: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """Shares of right frames of (labels [T], phones [T])."""
    right = {"accuracy": [], "near": [], "viseme": [], "silence": []}
    for labels, phones in heard:
        spoken = (labels != UNLABELLED) & (labels != SILENCE)
        exact, near, _ = _right(labels, phones)
        right["accuracy"].append(exact)
        right["near"].append(near)
        right["viseme"].append(_VISEME[labels[spoken]] == _VISEME[phones[spoken]])
        right["silence"].append((phones == SILENCE)[labels == SILENCE])
    return _means(right)


def _video_accuracy(heard: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """Shares of right video frames of (labels [2T], phones [T]), which have two labels each, one of them a phone."""
    exact, near, phone = zip(*(_right(labels, phones) for labels, phones in heard), strict=True)
    return _means({"accuracy_video": exact, "near_video": near, "near_video_phone": phone})


def _means(right: Mapping[str, Sequence[np.ndarray]]) -> dict[str, float]:
    """Of all utterances together; without those of nothing."""
    shares = {name: np.concatenate(values) for name, values in right.items()}
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
        heard = [(u.labels, recogniser.posteriors(change(u.signal)).argmax(-1)) for u in chosen]
        figures[name] = _accuracy(heard).get("accuracy", 0.0)
    for pace in (0.85, 1.15):
        heard = []
        for utterance in chosen:
            frames = 2 * round(len(utterance.labels) / pace / 2)
            frame_at = ((np.arange(frames) + 0.5) * pace).astype(int)
            labels = utterance.labels[np.minimum(frame_at, len(utterance.labels) - 1)]
            speech = librosa.effects.time_stretch(utterance.signal, rate=pace, n_fft=512)
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
    wordless = [SILENCE, NOISE]
    return {name: float(recogniser.posteriors(s)[:, wordless].sum(-1).mean()) for name, s in heard.items()}


def _plot_posteriors(path: Path, posteriors: np.ndarray, utterance: Utterance, step: int) -> None:
    labels = np.where(utterance.labels == UNLABELLED, -1, utterance.labels)
    wanted = (labels[None] == np.arange(len(PHONES))[:, None]).astype(float)
    figure, axes = plt.subplots(3, figsize=(14, 14), sharex=True, gridspec_kw=dict(height_ratios=(1, 2, 2)))
    images = (audio.log_fbank(utterance.signal).T, posteriors.T, wanted)
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
