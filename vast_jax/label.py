"""Labels speech with phones, 50 a second, to train the acoustic model: forced alignment of what was said.

    python -m vast_jax.label SPEECH... --out DIR [--transcripts FILE...] [--whisper MODEL]

Needs the extra "label". The words come from the transcripts, from the file name where it is a GRID sentence (bbaf2n),
or else from a Whisper model. Recordings that align badly are left out and counted. `data.splits` says which recordings
are only for testing.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from vast_jax import cli
from vast_jax.audio import HOP, PHONES, SAMPLE_RATE, SILENCE, fit, video_frames
from vast_jax.data.labels import SPLITS, UNLABELLED, Utterance, write
from vast_jax.data.splits import is_held_out
from vast_jax.media import read_speech
from vast_jax.types import UserError

SPEECH_SUFFIXES = {".flac", ".wav", ".mp3", ".ogg", ".m4a", ".g722", ".mp4", ".mkv", ".mov", ".mpg", ".webm", ".avi"}
ALIGNER_RATE = 100  # frames a second; frame 2i of the aligner lies within 3 ms of the centre of label i
SHORTEST = 3  # aligner frames: a three-state phone lasts no less
MAX_SHORTEST = 0.35  # share of phones squeezed to that, above which the words are taken for wrong
MIN_CONFIDENCE = -0.7  # mean log probability of Whisper's words

_UNITS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_GRID = (
    dict(b="bin", l="lay", p="place", s="set"),
    dict(b="blue", g="green", r="red", w="white"),
    dict(a="at", b="by", i="in", w="with"),
    {letter: letter for letter in "abcdefghijklmnopqrstuvxy"} | dict(z="zed"),
    dict(zip("z123456789", _UNITS[:10], strict=True)),
    dict(a="again", n="now", p="please", s="soon"),
)
_SPELLING = dict(
    **dict(sh="SH", ch="CH", th="TH", ph="F", ng="NG", ee="IY", oo="UW", qu="K W", ck="K", ea="IY", ou="AW"),
    **dict(a="AE", b="B", c="K", d="D", e="EH", f="F", g="G", h="HH", i="IH", j="JH", k="K", l="L", m="M"),
    **dict(n="N", o="AA", p="P", q="K", r="R", s="S", t="T", u="AH", v="V", w="W", x="K S", y="IY", z="Z"),
)


@dataclass(frozen=True)
class Arguments:
    """What to label and where to."""

    speech: tyro.conf.Positional[tuple[Path, ...]]  # audio or video files, or folders of them
    out: Path  # folder of the dataset, replaced as a whole
    transcripts: tuple[Path, ...] = ()  # lines "name text" or "name|text"; a third field, if any, is the text to use
    whisper: Annotated[Path | None, tyro.conf.arg(metavar="MODEL")] = None  # CTranslate2 folder, for all other speech


def words_of(text: str) -> list[str] | None:
    """Lower-case words of a sentence, whole numbers and years spelled out; None if a number cannot be read surely."""
    text = re.sub(r"(\d+)(?:st|nd|rd|th)\b", r"\1", text.lower().replace("’", "'").replace("&", " and "))
    text = text.replace("mrs.", "missus").replace("mr.", "mister").replace("dr.", "doctor")
    words = []
    for word in re.findall(r"\d+|[a-z]+(?:'[a-z]+)*", text):
        if not word.isdigit():
            words.append(word)
        elif len(word) <= 2:
            words += _below_hundred(int(word))
        elif len(word) == 4 and word[2:] != "00" and word[0] == "1":
            tail = ["o", _UNITS[int(word[3])]] if word[2] == "0" else _below_hundred(int(word[2:]))
            words += _below_hundred(int(word[:2])) + tail
        else:
            return None
    return words


def _below_hundred(number: int) -> list[str]:
    if number < 20:
        return [_UNITS[number]]
    return [_TENS[number // 10], *([_UNITS[number % 10]] if number % 10 else [])]


def grid_words(name: str) -> list[str] | None:
    """The six words of a GRID sentence from its name, e.g. "bbaf2n"; None for any other name."""
    if len(name) != len(_GRID) or any(key not in table for key, table in zip(name, _GRID, strict=True)):
        return None
    return [table[key] for key, table in zip(name, _GRID, strict=True)]


def read_transcripts(paths: tuple[Path, ...]) -> dict[str, list[str] | None]:
    """Words by recording name (LibriSpeech's, LJ Speech's or "name|text" lines). UserError: no such file."""
    words = {}
    for path in paths:
        if not path.is_file():
            raise UserError(f"{path}: no such file of transcripts")
        for line in path.read_text(encoding="utf-8").splitlines():
            fields = line.split("|") if "|" in line else line.split(maxsplit=1)
            if len(fields) > 1:
                words[fields[0]] = words_of(fields[-1])
    return words


class Aligner:
    """Forced alignment by pocketsphinx and its US English model."""

    def __init__(self):
        try:
            import pocketsphinx
        except ImportError:
            raise UserError('labelling needs the extra "label": pip install "vast_jax[label]"') from None
        # the best path through the lattice may hold phones too short to be aligned
        self._new = lambda beams: pocketsphinx.Decoder(lm=None, bestpath=False, loglevel="FATAL", **beams)
        self._guessed: set[str] = set()

    def __call__(self, signal: np.ndarray, words: list[str]) -> np.ndarray | None:
        """Labels uint8 [2T] of `signal` float [640 T] that says `words`; None if they do not fit it.

        A word outside the dictionary is aligned by a crude spelling and left UNLABELLED.
        """
        pcm = np.round(np.clip(signal, -1, 1) * 32767).astype("<i2").tobytes()
        for beam in (1e-64, 1e-120):  # the second for speech that strays far from the model
            decoder = self._new(dict(beam=beam, pbeam=beam, wbeam=beam**0.75))
            for word in set(words):
                if decoder.lookup_word(word) is None:
                    decoder.add_word(word, _spell(word), True)
                    self._guessed.add(word)
            try:
                decoder.set_align_text(" ".join(words))
                _decode(decoder, pcm)
                if decoder.hyp() is None:
                    continue
                decoder.set_alignment()
                _decode(decoder, pcm)
                return self._labels(decoder.get_alignment(), len(signal) // HOP)
            except RuntimeError:  # no path through these words
                continue
        return None

    def _labels(self, alignment, frames: int) -> np.ndarray | None:
        aligner_frames = np.full(2 * frames, SILENCE, np.uint8)
        squeezed = []
        for word in alignment:
            spoken = re.sub(r"\(\d+\)$", "", word.name)
            for phone in word:
                noise = phone.name.startswith("+")
                label = PHONES.index("NSN" if noise else phone.name)
                span = slice(phone.start, phone.start + phone.duration)
                aligner_frames[span] = UNLABELLED if spoken in self._guessed else label
                if label != SILENCE and not noise:
                    squeezed.append(phone.duration <= SHORTEST)
        return None if not squeezed or np.mean(squeezed) > MAX_SHORTEST else aligner_frames[::2]


def _decode(decoder, pcm: bytes) -> None:
    decoder.start_utt()
    decoder.process_raw(pcm, full_utt=True)
    decoder.end_utt()


def _spell(word: str) -> str:
    single = re.sub(r"(.)\1", lambda m: m[0] if m[0] in ("ee", "oo") else m[1], word)
    return " ".join(_SPELLING[m] for m in re.findall("sh|ch|th|ph|ng|ee|oo|qu|ck|ea|ou|[a-z]", single))


class Transcriber:
    """Speech to words by a Whisper model on disk (faster-whisper)."""

    def __init__(self, model: Path):
        try:
            from faster_whisper import WhisperModel
        except ImportError:
            raise UserError('--whisper needs the extra "label": pip install "vast_jax[label]"') from None
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


def label(arguments: Arguments) -> dict[str, int]:
    """Labels all recordings and writes the dataset; counts of what was labelled and of why the rest was left out."""
    transcripts, align = read_transcripts(arguments.transcripts), Aligner()
    transcribe = Transcriber(arguments.whisper) if arguments.whisper else None
    utterances: dict[str, list[Utterance]] = {split: [] for split in SPLITS}
    counts = dict.fromkeys(("labelled", "words unknown", "badly aligned"), 0)
    for path in recordings(arguments.speech):
        speech = read_speech(path, SAMPLE_RATE)
        signal = fit(speech, video_frames(len(speech), SAMPLE_RATE))
        words = transcripts.get(path.stem) or grid_words(path.stem) or (transcribe(signal) if transcribe else None)
        labels = align(signal, words) if words else None
        if labels is None:
            counts["badly aligned" if words else "words unknown"] += 1
            continue
        counts["labelled"] += 1
        samples = np.round(np.clip(signal, -1, 1) * 32767).astype(np.int16)
        split = SPLITS[is_held_out(str(path))]
        utterances[split].append(Utterance(f"{path.parent.name}/{path.stem}", samples, labels))
    if not counts["labelled"]:
        raise UserError(f"nothing could be labelled: {counts}; give --transcripts or --whisper")
    write(utterances, arguments.out)
    return counts


def main() -> None:
    arguments = tyro.cli(Arguments, description=__doc__)
    counts = label(arguments)
    print(", ".join(f"{count} {what}" for what, count in counts.items()))


if __name__ == "__main__":
    cli.run(main)
