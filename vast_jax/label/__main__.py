"""Labels speech with phones, 50 a second, to train the acoustic model: forced alignment of what was said.

    python -m vast_jax.label SPEECH... --out DIR [--corpus grid] [--transcripts FILE...] [--whisper MODEL] [--workers 2]

Needs the extra "label". Where a file of phones lies beside a recording (NAME.phn: first sample at 16 kHz, sample after
the last, phone), as `label.synthetic_speech` writes it, the labels are read from there. Otherwise the words come from
the transcripts (LibriSpeech's, as published, are found), from the file name where it is a GRID sentence (bbaf2n), or
else from a Whisper model, and are aligned. Recordings that align badly are left out; how many of each corpus (folder),
and why, is printed and kept in DIR/labelling.json. `data.splits` says which recordings are only for testing. Corpora
may be labelled one by one, each into its own folder beside the others: train.py takes the folder that holds them all.
With --corpus the folders are that corpus as it is unpacked (docs/corpora.md), whose speakers GRID's file names do not
tell.
"""

import functools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal, NamedTuple

import numpy as np
import tyro

from vast_jax import cli
from vast_jax.audio import PHONES, SAMPLE_RATE, fit, video_frames
from vast_jax.data.corpora import CORPORA
from vast_jax.data.labels import SPLITS, UNLABELLED, Utterance, read_phones, said, write
from vast_jax.data.splits import is_held_out
from vast_jax.data.workers import run_jobs
from vast_jax.files import check_writable
from vast_jax.label.alignment import MAX_UNSAID, NEEDS_EXTRA, Aligner, pronounce, unsaid
from vast_jax.label.transcripts import grid_words, read_transcripts, words_of
from vast_jax.media import FPS, read_speech
from vast_jax.types import Unwritable, UserError

SPEECH_SUFFIXES = {".flac", ".wav", ".mp3", ".ogg", ".m4a", ".g722", ".mp4", ".mkv", ".mov", ".mpg", ".webm", ".avi"}
MIN_CONFIDENCE = -0.7  # mean log probability of Whisper's words


@dataclass(frozen=True)
class Args:
    """What to label and where to."""

    speech: tyro.conf.Positional[tuple[Path, ...]]  # audio or video files, or folders of them
    out: Path  # folder of the dataset, replaced as a whole
    corpus: Literal["grid", "librispeech"] | None = None  # SPEECH holds this corpus as it is unpacked
    transcripts: tuple[Path, ...] = ()  # lines "name text" or "name|text"; a third field, if any, is the text to use
    whisper: Annotated[Path | None, tyro.conf.arg(metavar="MODEL")] = None  # CTranslate2 folder, for all other speech
    align: bool = True  # without: only what was said is kept, to train by CTC (configs/acoustic_ctc.py)
    workers: int = 1  # processes


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
        # with timestamps, which it then goes on from: without, it may fall silent after a first phrase and a pause
        options = dict(language="en", beam_size=2, condition_on_previous_text=False)
        segments = list(self._model.transcribe(signal.astype(np.float32), **options)[0])
        if not segments or np.mean([segment.avg_logprob for segment in segments]) < MIN_CONFIDENCE:
            return None
        return words_of(" ".join(segment.text for segment in segments))


class Recording(NamedTuple):
    """A file of speech to label."""

    path: Path
    corpus: str  # name of its folder
    words: list[str] | None  # what is said, where that is known


def recordings(
    paths: Sequence[Path], transcripts: Mapping[str, list[str] | None] = MappingProxyType({})
) -> list[Recording]:
    """The speech files among `paths` and in the folders among them.

    LibriSpeech as published (train-clean-100/103/1240/103-1240-0000.flac) brings its transcripts along, in
    103-1240.trans.txt. UserError: a path is missing, or there is no speech at all.
    """
    files = []
    for path in paths:
        if not path.exists():
            raise UserError(f"{path}: no such file or folder of speech")
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        files += [file for file in inside if file.suffix.lower() in SPEECH_SUFFIXES]
    if not files:
        raise UserError(f"{', '.join(map(str, paths))}: no speech files in there")
    beside = {folder: sorted(folder.glob("*.trans.txt")) for folder in {file.parent for file in files}}
    known = {**read_transcripts([path for found in beside.values() for path in found]), **transcripts}
    return [
        Recording(
            path=file,
            corpus=file.resolve().parents[2 if beside[file.parent] else 0].name,
            words=known.get(file.stem) or grid_words(file.stem),
        )
        for file in files
    ]


def of_corpus(corpus: str, folders: Sequence[Path]) -> list[Recording]:
    """The recordings of a corpus as it is unpacked. UserError: it is not in these folders."""
    listed = [recording for folder in folders for recording in CORPORA[corpus](folder).recordings]
    return [
        Recording(path=r.source, corpus=r.name.split("/")[1], words=grid_words(r.source.stem) or words_of(r.text))
        for r in listed
    ]


class Labelled(NamedTuple):
    """What became of a recording."""

    outcome: str  # "labelled", or why not
    frames: int  # of video
    guessed: int  # words in no dictionary
    utterance: Utterance | None


class _Labeller:
    """Labels recordings one by one; a process has one for all of its own."""

    def __init__(self, whisper: Path | None, align: bool):
        self._align = Aligner() if align else None
        self._transcribe = Transcriber(whisper) if whisper else None

    def __call__(self, recording: Recording) -> Labelled:
        path, words, guessed = recording.path, recording.words, 0
        try:
            speech = read_speech(path, SAMPLE_RATE)
        except UserError:
            return Labelled("not readable", 0, 0, None)
        n_frames = video_frames(len(speech), SAMPLE_RATE)
        signal = fit(speech, n_frames)
        if path.with_suffix(".phn").is_file():
            labels = read_phones(path.with_suffix(".phn"), 2 * n_frames)
            phones = said(labels)
        else:
            words = words or (self._transcribe(signal) if self._transcribe else None)
            if not words:
                return Labelled("words unknown", n_frames, 0, None)
            if self._align is None:
                labels = np.full(2 * n_frames, UNLABELLED, np.uint8)
                phones = np.array([PHONES.index(phone) for word in words for phone in pronounce(word)], np.uint8)
            else:
                labels = self._align(signal, words)
                guessed = sum(word in self._align.guessed for word in words)
                if labels is None:
                    return Labelled("badly aligned", n_frames, guessed, None)
                if unsaid(signal, labels) > MAX_UNSAID:
                    return Labelled("words missing", n_frames, guessed, None)
                phones = said(labels)
        samples = np.round(np.clip(signal, -1, 1) * 32767).astype(np.int16)
        utterance = Utterance(f"{recording.corpus}/{path.stem}", samples, labels, phones)
        return Labelled("labelled", n_frames, guessed, utterance)


_labeller = functools.cache(_Labeller)


def _label(job: tuple[Recording, Path | None, bool]) -> Labelled:
    recording, whisper, align = job
    return _labeller(whisper, align)(recording)


def label(arguments: Args) -> dict[str, dict[str, float]]:
    """Labels all recordings and writes the dataset; by corpus, what was labelled and why the rest was left out.

    UserError: nothing could be labelled; files are missing or of another form; the dataset cannot be written.
    """
    check_writable(arguments.out.parent)
    sides: dict[str, list[Recording]] = {split: [] for split in SPLITS}
    if arguments.corpus:
        found = of_corpus(arguments.corpus, arguments.speech)
    else:
        found = recordings(arguments.speech, read_transcripts(arguments.transcripts))
    for recording in found:
        sides[SPLITS[is_held_out(str(recording.path))]].append(recording)
    _labeller(arguments.whisper, arguments.align)  # what is missing is said at once
    report: dict[str, Counter] = {}

    def utterances(side: list[Recording]) -> Iterator[Utterance]:
        jobs = ((recording, arguments.whisper, arguments.align) for recording in side)
        with closing(run_jobs(_label, jobs, arguments.workers)) as done:
            for (recording, *_), labelled in done:
                outcome, frames, guessed, utterance = labelled or Labelled("not readable", 0, 0, None)
                counts = report.setdefault(recording.corpus, Counter())
                counts.update({"recordings": 1, outcome: 1, f"hours {outcome}": frames / FPS / 3600})
                counts["words by grapheme-to-phoneme"] += guessed
                if utterance:
                    yield utterance

    try:
        with ExitStack() as ending:  # of the processes, whatever stops the writing
            found = {split: ending.enter_context(closing(utterances(side))) for split, side in sides.items()}
            write(found, arguments.out, report)
    except Unwritable:
        raise
    except UserError:
        if any(counts["labelled"] for counts in report.values()):
            raise
        hint = "give --transcripts or --whisper"
        raise UserError(f"nothing could be labelled: {describe(report)}; {hint}") from None
    return report


def describe(report: dict[str, dict[str, float]]) -> str:
    """A line for each corpus: "s1: 300 recordings, 299 labelled, 0.25 hours labelled, 1 badly aligned, ..."."""

    def amount(name: str, count: float) -> str:
        return f"{count:.2f} {name}" if name.startswith("hours") else f"{count} {name}"

    return "\n".join(f"{corpus}: " + ", ".join(amount(*item) for item in row.items()) for corpus, row in report.items())


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    cli.run(lambda: print(describe(label(cli.parse(Args, argv, prog="python -m vast_jax.label", description=__doc__)))))


if __name__ == "__main__":
    main()
