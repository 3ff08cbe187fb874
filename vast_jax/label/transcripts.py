"""What was said: words of a text, of a GRID file name, of a corpus's file of transcripts."""

import re
from collections.abc import Sequence
from pathlib import Path

from vast_jax.data.grid_corpus import grid_sentence, is_grid_name
from vast_jax.types import UserError

_UNITS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


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
    """The six words of a GRID sentence from its name, e.g. "bbaf2n", as the British say them; None for other names."""
    if not is_grid_name(name):
        return None
    return ["zed" if word == "z" else word for word in grid_sentence(name)]


def read_transcripts(paths: Sequence[Path]) -> dict[str, list[str] | None]:
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
