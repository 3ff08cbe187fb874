"""Labels speech with phones, 50 a second, to train the acoustic model: forced alignment of what was said.

    python -m vast_jax.label SPEECH... --out DIR [--transcripts FILE...] [--whisper MODEL]

Needs the extra "label". Where a file of phones lies beside a recording (NAME.phn: first sample at 16 kHz, sample after
the last, phone), as tools/make_speech.py writes it, the labels are read from there. Otherwise the words come from the
transcripts, from the file name where it is a GRID sentence (bbaf2n), or else from a Whisper model, and are aligned.
Recordings that align badly are left out; how many of each corpus (folder), and why, is printed and kept in
DIR/labelling.json. `data.splits` says which recordings are only for testing.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from vast_jax import cli
from vast_jax.audio import SAMPLE_RATE, fit, video_frames
from vast_jax.data.alignment import NEEDS_EXTRA, Aligner
from vast_jax.data.labels import SPLITS, Utterance, read_phones, write
from vast_jax.data.splits import is_held_out
from vast_jax.data.transcripts import grid_words, read_transcripts, words_of
from vast_jax.media import FPS, read_speech
from vast_jax.types import UserError

SPEECH_SUFFIXES = {".flac", ".wav", ".mp3", ".ogg", ".m4a", ".g722", ".mp4", ".mkv", ".mov", ".mpg", ".webm", ".avi"}
MIN_CONFIDENCE = -0.7  # mean log probability of Whisper's words


@dataclass(frozen=True)
class Arguments:
    """What to label and where to."""

    speech: tyro.conf.Positional[tuple[Path, ...]]  # audio or video files, or folders of them
    out: Path  # folder of the dataset, replaced as a whole
    transcripts: tuple[Path, ...] = ()  # lines "name text" or "name|text"; a third field, if any, is the text to use
    whisper: Annotated[Path | None, tyro.conf.arg(metavar="MODEL")] = None  # CTranslate2 folder, for all other speech


class Transcriber:
    """Speech to words by a Whisper model on disk (faster-whisper)."""

    def __init__(self, model: Path):
        try:
            from faster_whisper import WhisperModel
        except ImportError:
            raise UserError(NEEDS_EXTRA) from None
        if not (model / "model.bin").is_file():
            raise UserError(f"{model}: no CTranslate2 Whisper model there (no model.bin)")
        self._model = WhisperModel(str(model), device="cpu", compute_type="int8", local_files_only=True)

    def __call__(self, signal: np.ndarray) -> list[str] | None:
        """The words of `signal` float [n] at 16 kHz, or None if the model is not sure of them."""
        options = dict(language="en", beam_size=2, condition_on_previous_text=False, without_timestamps=True)
        segments = list(self._model.transcribe(signal.astype(np.float32), **options)[0])
        if not segments or np.mean([segment.avg_logprob for segment in segments]) < MIN_CONFIDENCE:
            return None
        return words_of(" ".join(segment.text for segment in segments))


def recordings(paths: tuple[Path, ...]) -> list[Path]:
    """The speech files among `paths` and in the folders among them. UserError: one is missing, or none at all."""
    files = []
    for path in paths:
        if not path.exists():
            raise UserError(f"{path}: no such file or folder of speech")
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        files += [file for file in inside if file.suffix.lower() in SPEECH_SUFFIXES]
    if not files:
        raise UserError(f"{', '.join(map(str, paths))}: no speech files in there")
    return files


def label(arguments: Arguments) -> dict[str, dict[str, float]]:
    """Labels all recordings and writes the dataset; by corpus, what was labelled and why the rest was left out.

    UserError: nothing could be labelled; files are missing or of another form.
    """
    transcripts, align = read_transcripts(arguments.transcripts), Aligner()
    transcribe = Transcriber(arguments.whisper) if arguments.whisper else None
    utterances: dict[str, list[Utterance]] = {split: [] for split in SPLITS}
    report: dict[str, Counter] = {}
    for path in recordings(arguments.speech):
        counts = report.setdefault(path.parent.name, Counter())
        speech = read_speech(path, SAMPLE_RATE)
        n_frames = video_frames(len(speech), SAMPLE_RATE)
        signal = fit(speech, n_frames)
        if path.with_suffix(".phn").is_file():
            words, labels = [], read_phones(path.with_suffix(".phn"), 2 * n_frames)
        else:
            words = transcripts.get(path.stem) or grid_words(path.stem) or (transcribe(signal) if transcribe else None)
            labels = align(signal, words) if words else None
        outcome = "words unknown" if words is None else "badly aligned" if labels is None else "labelled"
        counts.update({"recordings": 1, outcome: 1, f"hours {outcome}": n_frames / FPS / 3600})
        if labels is None:
            continue
        counts["words by grapheme-to-phoneme"] += sum(word in align.guessed for word in words)
        samples = np.round(np.clip(signal, -1, 1) * 32767).astype(np.int16)
        split = SPLITS[is_held_out(str(path))]
        utterances[split].append(Utterance(f"{path.parent.name}/{path.stem}", samples, labels))
    if not any(utterances.values()):
        raise UserError(f"nothing could be labelled: {describe(report)}; give --transcripts or --whisper")
    write(utterances, arguments.out, report)
    return report


def describe(report: dict[str, dict[str, float]]) -> str:
    """A line for each corpus: "s1: 300 recordings, 299 labelled, 0.25 hours labelled, 1 badly aligned, ..."."""

    def amount(name: str, count: float) -> str:
        return f"{count:.2f} {name}" if name.startswith("hours") else f"{count} {name}"

    return "\n".join(f"{corpus}: " + ", ".join(amount(*item) for item in row.items()) for corpus, row in report.items())


def main() -> None:
    print(describe(label(tyro.cli(Arguments, description=__doc__))))


if __name__ == "__main__":
    cli.run(main)
