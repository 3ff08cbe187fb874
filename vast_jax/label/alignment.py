"""Forced alignment: when each phone of known words was said (pocketsphinx; gruut pronounces rare words)."""

import functools

import numpy as np

from vast_jax.audio import HOP, NOISE, PHONES, SILENCE, log_fbank, runs
from vast_jax.types import UserError

NEEDS_EXTRA = 'labelling needs the extra "label": pip install "vast_jax[label]"'
# The aligner has 100 frames a second; its frame 2i lies within 3 ms of the centre of label i.
SHORTEST = 3  # aligner frames: a three-state phone lasts no less
MAX_SHORTEST = 0.35  # share of phones squeezed to that, above which the words are taken for wrong
MAX_UNSAID = 0.5  # speech outside the words as a share of that within, above which words are taken to be missing
PAUSE = 20  # label frames: shorter silences may well be phones whose borders are a little off
_BAND = slice(20, 65)  # mel bands, 0.6 to 4.7 kHz: breath and rumble are loud below

_ARPABET = {
    **{"ɑ": "AA", "æ": "AE", "ə": "AH", "ʌ": "AH", "ɔ": "AO", "aʊ": "AW", "aɪ": "AY", "ɛ": "EH", "ɚ": "ER", "eɪ": "EY"},
    **{"ɪ": "IH", "i": "IY", "oʊ": "OW", "ɔɪ": "OY", "ʊ": "UH", "u": "UW", "b": "B", "t͡ʃ": "CH", "d": "D", "ð": "DH"},
    **{"f": "F", "ɡ": "G", "h": "HH", "d͡ʒ": "JH", "k": "K", "l": "L", "m": "M", "n": "N", "ŋ": "NG", "p": "P"},
    **{"ɹ": "R", "s": "S", "ʃ": "SH", "t": "T", "θ": "TH", "v": "V", "w": "W", "j": "Y", "z": "Z", "ʒ": "ZH"},
}


@functools.cache
def pronounce(word: str) -> tuple[str, ...]:
    """Phones of an English word: gruut's dictionary or, for a word in none, its grapheme-to-phoneme model."""
    try:
        import gruut
    except ImportError:
        raise UserError(NEEDS_EXTRA) from None
    parts = [part for sentence in gruut.sentences(word, lang="en-us") for part in sentence]
    return tuple(_ARPABET[ipa.strip("ˈˌ")] for part in parts if part.is_spoken for ipa in part.phonemes)


class Aligner:
    """Forced alignment by pocketsphinx and its US English model."""

    def __init__(self):
        try:
            import pocketsphinx
        except ImportError:
            raise UserError(NEEDS_EXTRA) from None
        # the best path through the lattice may hold phones too short to be aligned
        self._new = lambda beams: pocketsphinx.Decoder(lm=None, bestpath=False, loglevel="FATAL", **beams)
        self.guessed: set[str] = set()  # words that were in no dictionary

    def __call__(self, signal: np.ndarray, words: list[str]) -> np.ndarray | None:
        """Labels uint8 [2T] of `signal` float [640 T] that says `words`; None if they do not fit it.

        Words outside the aligner's dictionary are pronounced by `pronounce`.
        """
        pcm = np.round(np.clip(signal, -1, 1) * 32767).astype("<i2").tobytes()
        for beam in (1e-64, 1e-120):  # the second for speech that strays far from the model
            decoder = self._new(dict(beam=beam, pbeam=beam, wbeam=beam**0.75))
            try:
                for word in set(words):
                    if decoder.lookup_word(word) is None:
                        decoder.add_word(word, " ".join(pronounce(word)), True)
                        self.guessed.add(word)
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
            for phone in word:
                noise = phone.name.startswith("+")
                label = NOISE if noise else PHONES.index(phone.name)
                span = slice(phone.start, phone.start + phone.duration)
                aligner_frames[span] = label
                if label != SILENCE and not noise:
                    squeezed.append(phone.duration <= SHORTEST)
        return None if not squeezed or np.mean(squeezed) > MAX_SHORTEST else aligner_frames[::2]


def unsaid(signal: np.ndarray, labels: np.ndarray) -> float:
    """How much speech there is where `labels` [2T] have a long silence, as a share of that where they have phones.

    Frames of `signal` float [640 T] are speech that are at most 6 dB below the median phone. A transcript that stops
    early aligns well, and would teach that the rest is silence: .0 to .2 where it is whole, about 2 and more where not.
    """
    level = log_fbank(signal)[:, _BAND].mean(1)
    spoken = (labels != SILENCE) & (labels != NOISE)
    if not spoken.any():
        return 0.0
    loud = level > np.median(level[spoken]) - 0.6 * np.log(10)
    pauses = [run for run in runs(spoken) if not spoken[run.start] and run.stop - run.start >= PAUSE]
    return sum(int(loud[pause].sum()) for pause in pauses) / int(loud[spoken].sum())


def _decode(decoder, pcm: bytes) -> None:
    decoder.start_utt()
    decoder.process_raw(pcm, full_utt=True)
    decoder.end_utt()
