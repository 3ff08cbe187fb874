"""What the acoustic model hears in a recording: its phones with their times, and a picture.

    python -m vast_jax.hear SPEECH [--out hear.png] [--seconds 8]

Prints a line "start end PHONE" in seconds for each phone of the recording. The picture shows its beginning: log filter
bank, PPG, and the posteriors summed over phones that look alike on the lips (visemes).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import tyro

from vast_jax import audio, cli, media
from vast_jax.audio import PHONES, VISEMES
from vast_jax.files import atomic_path
from vast_jax.models.recogniser import load_acoustic


@dataclass(frozen=True)
class Args:
    """What the acoustic model hears in a recording."""

    speech: tyro.conf.Positional[Path]
    """an audio file, or a video with sound"""
    acoustic: Path | None = None
    """acoustic weights; none: the shipped ones"""
    out: Path | None = None
    """picture to write, .png"""
    seconds: float = 8.0
    """of the recording in the picture"""
    force: bool = False
    """overwrite the picture"""


def heard(posteriors: np.ndarray) -> list[tuple[float, float, str]]:
    """Start and end in seconds, and name, of each run of one most likely phone in `posteriors` [2T, 41] at 50 Hz."""
    best = posteriors.argmax(-1)
    frame = audio.HOP / audio.SAMPLE_RATE
    return [(run.start * frame, run.stop * frame, PHONES[best[run.start]]) for run in audio.runs(best)]


def picture(path: Path, speech: np.ndarray, posteriors: np.ndarray, title: str) -> None:
    """Draws `speech` float [320 T] and its `posteriors` [T, 41] to a PNG."""
    order = [PHONES.index(phone) for group in VISEMES for phone in group]
    groups = np.stack([posteriors[:, [PHONES.index(phone) for phone in group]].sum(-1) for group in VISEMES])
    end = len(posteriors) * audio.HOP / audio.SAMPLE_RATE
    figure, axes = plt.subplots(3, figsize=(14, 13), sharex=True, gridspec_kw=dict(height_ratios=(1, 2.4, 1)))
    rows = (
        (audio.log_fbank(speech).T, "log mel filter bank", None),
        (posteriors.T[order], "PPG", [PHONES[i] for i in order]),
        (groups, "visemes", [" ".join(group) for group in VISEMES]),
    )
    for axis, (image, name, labels) in zip(axes, rows, strict=True):
        box = (0, end, -0.5, len(image) - 0.5)
        axis.imshow(image, aspect="auto", origin="lower", interpolation="nearest", cmap="magma", extent=box)
        axis.set_title(f"{title}: {name}")
        if labels:
            axis.set_yticks(range(len(labels)), labels, fontsize=7)
    for border in np.cumsum([len(group) for group in VISEMES])[:-1]:
        axes[1].axhline(border - 0.5, color="cyan", linewidth=0.3)
    for start, stop, phone in heard(posteriors):
        if phone != "SIL":
            axes[0].text((start + stop) / 2, 82, phone, fontsize=7, ha="center")
    axes[0].set_title(axes[0].get_title(), pad=16)
    axes[-1].set_xlabel("seconds")
    figure.tight_layout()
    with atomic_path(path) as part:
        figure.savefig(part, dpi=70)
    plt.close(figure)


def hear(args: Args) -> list[tuple[float, float, str]]:
    """The phones of a recording, see `heard`. UserError: no sound in it, no such weights, the picture exists."""
    if args.out:
        cli.check_output(args.out, (".png",), args.force)
    recogniser = load_acoustic(args.acoustic)
    speech = media.read_speech(args.speech)
    signal = audio.fit(speech, audio.video_frames(len(speech), audio.SAMPLE_RATE))
    posteriors = recogniser.posteriors(signal)
    if args.out:
        frames = 2 * max(1, min(len(posteriors), round(args.seconds * audio.SAMPLE_RATE / audio.HOP)) // 2)
        picture(args.out, signal[: frames * audio.HOP], posteriors[:frames], args.speech.name)
    return heard(posteriors)


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    cli.run(lambda: _print(hear(cli.parse(Args, argv, prog="python -m vast_jax.hear"))))


def _print(phones: Sequence[tuple[float, float, str]]) -> None:
    for start, end, phone in phones:
        print(f"{start:.2f} {end:.2f} {phone}")


if __name__ == "__main__":
    main()
