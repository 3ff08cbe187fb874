"""The raters' CSV files, as they come back: nothing in them is trusted."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from vast_jax.mos.study import QUESTIONS, Key
from vast_jax.types import UserError

COLUMNS = ("study", "rater", "order", "clip", *(question.name for question in QUESTIONS), "seconds", "replays")
_LARGEST = 2 * 2**20  # bytes; a rater's answers are some kilobytes
_LONGEST = 10**6  # seconds, replays


class Answer(NamedTuple):
    """What a rater thought of a clip."""

    rater: int
    order: int  # the rater's how manieth clip, from 1
    clip: str  # blinded name
    scores: tuple[int, ...]  # 1 to 5, in the order of QUESTIONS
    seconds: float  # from the clip's appearance to the next
    replays: int


def read_answers(paths: Sequence[Path], key: Key) -> tuple[list[Answer], list[str]]:
    """All raters' answers, and notes on what is odd about them; a file that came twice counts once.

    UserError: a file that is missing, damaged, of another test, with a score outside 1 to 5, with a clip twice or
    unknown, or two files that disagree about what one rater said.
    """
    by_rater: dict[int, tuple[Path, list[Answer]]] = {}
    notes = []
    for path in map(Path, paths):
        answers = _read(path, key)
        rater = answers[0].rater
        if rater not in by_rater:
            by_rater[rater] = path, answers
        elif sorted(by_rater[rater][1]) == sorted(answers):
            notes.append(f"{path.name}: the same answers as {by_rater[rater][0].name}, counted once")
        else:
            raise UserError(
                f"{path}: other answers of rater {rater} than {by_rater[rater][0]}; "
                "leave one out, or change the rater column if they are two people"
            )
    for rater, (_, answers) in sorted(by_rater.items()):
        if len(answers) < len(key.clips):
            notes.append(f"rater {rater}: answered {len(answers)} of {len(key.clips)} clips")
        if len(answers) > 2 and len({score for answer in answers for score in answer.scores}) == 1:
            notes.append(f"rater {rater}: gave {answers[0].scores[0]} to everything; counted all the same")
    return [answer for _, answers in by_rater.values() for answer in answers], notes


def _read(path: Path, key: Key) -> list[Answer]:
    """One file: one rater's answers."""
    answers = [_answer(f"{path}, line {line}", row, key) for line, row in _rows(path)]
    if len({answer.rater for answer in answers}) > 1:
        raise UserError(f"{path}: answers of more than one rater; give each rater's own file")
    for name in ("clip", "order"):
        values = [getattr(answer, name) for answer in answers]
        if twice := [value for value in values if values.count(value) > 1]:
            raise UserError(f"{path}: {name} {twice[0]} is there twice; ask the rater for the file as it was saved")
    return answers


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Line numbers, and cells by column name."""
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if path.stat().st_size > _LARGEST:
        raise UserError(f"{path}: too large for one rater's answers")
    try:
        text = path.read_text(encoding="utf-8-sig")
        delimiter = max(",;\t", key=text.partition("\n")[0].count)  # spreadsheets save a CSV in their country's way
        table = [(i, row) for i, row in enumerate(csv.reader(text.splitlines(), delimiter=delimiter), 1) if any(row)]
    except (UnicodeDecodeError, csv.Error):
        raise UserError(f"{path}: not the CSV that the page saved") from None
    names = [name.strip() for name in table[0][1]] if table else []
    for name in COLUMNS:
        if names.count(name) != 1:
            raise UserError(
                f"{path}: {'two columns' if name in names else 'no column'} {name}; it is not from the page"
            )
    if len(table) == 1:
        raise UserError(f"{path}: no answers in it")
    rows = []
    for line, row in table[1:]:
        if len(row) != len(names):
            raise UserError(f"{path}, line {line}: {len(row)} cells instead of {len(names)}; is it cut short?")
        rows.append((line, dict(zip(names, map(str.strip, row), strict=True))))
    return rows


def _answer(where: str, row: dict[str, str], key: Key) -> Answer:
    if row["study"] != key.study:
        raise UserError(f"{where}: of another test ({_shown(row['study'])}, the key is of {key.study}); give its key")
    if row["clip"] not in key.clips:
        raise UserError(f"{where}: clip {_shown(row['clip'])} is not in the key")
    scores = tuple(_whole(where, row, question.name, 1, 5) for question in QUESTIONS)
    seconds = row["seconds"].replace(",", ".")
    if not re.fullmatch(r"[0-9]{1,7}(\.[0-9]{1,9})?", seconds):
        raise UserError(f"{where}: seconds {_shown(seconds)} is no number of seconds")
    rater, order = _whole(where, row, "rater", 1, _LONGEST), _whole(where, row, "order", 1, len(key.clips))
    return Answer(rater, order, row["clip"], scores, float(seconds), _whole(where, row, "replays", 0, _LONGEST))


def _whole(where: str, row: dict[str, str], name: str, low: int, high: int) -> int:
    if not re.fullmatch(r"[0-9]{1,7}", row[name]) or not low <= int(row[name]) <= high:
        raise UserError(f"{where}: {name} {_shown(row[name])} is not a whole number from {low} to {high}")
    return int(row[name])


def _shown(text: str) -> str:
    """Foreign text, safe to print."""
    return ascii(text[:30])
