"""The sentences of the GRID corpus (Cooke et al. 2006, doi:10.1121/1.2229005): grammar, file names, alignments."""

import re
from pathlib import Path, PurePath

import numpy as np

from vast_jax.media import FPS
from vast_jax.types import UserError

GRAMMAR = (
    ("bin", "lay", "place", "set"),
    ("blue", "green", "red", "white"),
    ("at", "by", "in", "with"),
    tuple("abcdefghijklmnopqrstuvxyz"),  # no w, the one letter of several syllables
    ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    ("again", "now", "please", "soon"),
)
"""The words that may stand at each of a sentence's six places."""
LETTER = 3  # the letter's place
WORDS = tuple(word for place in GRAMMAR for word in place)  # 51, all different
BLANK = 0  # class of silence and of CTC's blank; WORDS[i] is class i + 1

_KEYS = tuple("z123456789" if "zero" in place else "".join(word[0] for word in place) for place in GRAMMAR)
_NAME = re.compile("".join(f"[{keys}]" for keys in _KEYS))
_SILENCE = ("sil", "sp")
_UNITS_A_SECOND = 25_000  # of alignments


def is_grid_name(name: str) -> bool:
    """Whether a clip's name encodes a sentence: "grid/s1/bbaf2n", "bbaf2n.mpg" and "id2_vcd_swwp2s" do."""
    return _NAME.fullmatch(_code(name)) is not None


def grid_sentence(name: str) -> tuple[str, ...]:
    """The six words that a clip's name encodes: "bbaf2n" is bin blue at f two now.

    Raises:
      UserError: the name encodes none.
    """
    code = _code(name)
    if not _NAME.fullmatch(code):
        raise UserError(f"{name} is not named as a GRID clip: such a name ends in six characters like bbaf2n")
    return tuple(place[key.index(char)] for place, key, char in zip(GRAMMAR, _KEYS, code, strict=True))


def _code(name: str) -> str:
    return PurePath(name).name.split(".")[0].split("_")[-1].lower()


def read_alignment(path: Path, start: int = 0) -> list[tuple[float, float, str]]:
    """Words of an alignment, silences left out: (begin, end, word), in frames counted from frame `start` of the video.

    Raises:
      UserError: the file is missing or has lines of another form.
    """
    try:
        rows = [line.split() for line in Path(path).read_text().splitlines() if line.strip()]
        times = [(int(first), int(last), word) for first, last, word in rows]
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not an alignment of lines 'start end word' ({error})") from error
    frames = [(a * FPS / _UNITS_A_SECOND, b * FPS / _UNITS_A_SECOND, word) for a, b, word in times]
    return [(begin - start, end - start, word) for begin, end, word in frames if word not in _SILENCE]


def frame_labels(words: list[tuple[float, float, str]], frames: int) -> np.ndarray:
    """[frames] int32: the class of the word in whose time a frame's middle lies, else BLANK."""
    middle, labels = np.arange(frames) + 0.5, np.full(frames, BLANK, np.int32)
    for begin, end, word in words:
        labels[(begin <= middle) & (middle < end)] = WORDS.index(word) + 1
    return labels
