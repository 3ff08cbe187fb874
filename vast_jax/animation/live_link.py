"""Curves as CSV in the layout of Live Link Face: what most programs take that know ARKit's names (docs/curves.md)."""

import csv
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np

from vast_jax.animation import arkit
from vast_jax.animation.arkit import ANGLES, LOOKS, SHAPES
from vast_jax.animation.curves import Curves, frame_rate, resample
from vast_jax.face.model import FaceModel
from vast_jax.files import atomic_path
from vast_jax.types import UserError
from vast_jax.untrusted import content

LID = "Lid"  # LidEyeLookDownLeft, LidEyeBlinkLeft, ...: the model's own, where the column of ARKit's name is converted
CONVERTED = (*LOOKS, *arkit.LIDS)
SIGNED = "Signed"  # SignedMouthClose, ...: a shape that goes below 0, where the column of ARKit's name stops
TIME = "Time"  # seconds: tells the rate where timecodes cannot
DEFAULT_FPS = 60  # the app's own
RATES = (24, 25, 30, 48, 50, 60, 90, 100, 120)
LARGEST, MOST_COLUMNS, MOST_ROWS = 1 << 28, 2048, 1_000_000  # bytes; rows are 4 h at 60 a second
LATEST = 1e10  # seconds: a clock that counts from 1970 is at 2e9


def write_csv(path: Path, model: FaceModel, curves: Curves, arkit_only: bool = False) -> None:
    """Writes curves, six decimals; `arkit_only` leaves out our own columns, which stand after the 63 of the app."""
    own = {name.lower(): curves.expression[:, i] for i, name in enumerate(model.expression_names)}
    nothing = np.zeros(len(curves.expression), np.float32)
    whole = {name: own.pop(name.lower(), nothing) for name in SHAPES}
    shapes = {name: np.clip(values, 0, 1) for name, values in whole.items()}
    further = {TIME: np.arange(len(nothing)) / float(curves.fps)}
    further |= {LID + name: shapes[name] for name in CONVERTED}
    further |= {SIGNED + name: values for name, values in whole.items() if values.min(initial=0) < 0}
    shapes |= {name: np.minimum(shapes[name] / shut, 1) for name, shut in arkit.closing_blinks(model).items()}
    if curves.gaze.any():
        shapes |= arkit.looks(curves.gaze)
    further |= {name: own[name.lower()] for name in model.expression_names if name.lower() in own}
    none = nothing[:, None]
    angles = np.hstack([arkit.angles(curves.rotation), curves.gaze[:, :2], none, curves.gaze[:, 2:], none])
    columns = shapes | dict(zip(ANGLES, angles.T, strict=True)) | ({} if arkit_only else further)
    count = len(SHAPES) + len(ANGLES)
    with atomic_path(path) as part, open(part, "w", newline="", encoding="utf-8") as file:
        file.write(",".join(("Timecode", "BlendshapeCount", *columns)) + "\n")
        for i, row in enumerate(np.stack(list(columns.values()), axis=1).round(6) + 0.0):  # no -0
            file.write(f"{timecode(i, curves.fps)},{count}," + ",".join(f"{value:.6f}" for value in row) + "\n")


def timecode(row: int, fps: Fraction) -> str:
    """HH:MM:SS:FF.000 of a row: SMPTE's count of frames, not dropping any (29.97 counts to 30)."""
    seconds, frame = divmod(row, max(1, round(fps)))
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{frame:02d}.000"


def read_csv(
    path: Path, model: FaceModel, fps: float | None = None, say: Callable[[str], object] = lambda line: None
) -> Curves:
    """Reads curves at 25 fps from a CSV file of Live Link Face, Audio2Face or our own, columns in any order.

    Args:
      fps: rows a second; None takes it from the timecodes, or 60 where they do not tell.
      say: is told what was guessed or left out, a line each.

    Returns:
      Curves within the model's range; shapes without a column are 0.

    Raises:
      UserError: no such file, no column of a known name, a cell that is no number, or time that does not rise.
    """
    names, rows, numbers = _read_cells(path)
    ours = (*(LID + name for name in CONVERTED), *(SIGNED + name for name in SHAPES))
    known = {_plain(name) for name in (*SHAPES, *ANGLES, *ours, *model.expression_names)}
    clocks = [name for name in ("time", "seconds", "timecode") if name in names]
    if not known & set(names):
        raise UserError(f"{path}: no column of a known name, like JawOpen or mouthSmile_L; is it a CSV of face curves?")
    ignored = [n for n in names if n not in known | {"", "frame", "blendshapecount", "time", "seconds", "timecode"}]
    if ignored:
        say(f"ignored columns: {', '.join(ignored[:8])}{', ...' if len(ignored) > 8 else ''}")
    wanted = [name for name in names if name in known]
    table = _numbers(path, names, rows, numbers, wanted)
    seen = np.isfinite(table).all(1)
    if not seen.any():
        raise UserError(f"{path}: no row has values")
    if not seen.all():
        say(f"{np.sum(~seen)} rows without values (no face seen): filled in between")
    if fps is None and clocks:
        times, rate = _times(path, [row[names.index(clocks[0])] for row in rows], numbers, say)
    else:
        rate = frame_rate(fps or DEFAULT_FPS)
        times = np.arange(len(rows)) / float(rate)
        if fps is None:
            say(f"no timecodes: taken as {DEFAULT_FPS} rows a second")
    count = round(times[-1] * float(rate)) + 1
    if count > MOST_ROWS:
        raise UserError(f"{path}: from its first row to its last are {count} at {float(rate):g} a second: cut it")
    grid = np.arange(count) / float(rate)
    columns = {name: np.interp(grid, times[seen], table[seen, i]) for i, name in enumerate(wanted)}
    return resample(_curves(path, model, columns, len(grid), rate, say), 25)


def _curves(path: Path, model: FaceModel, columns: dict, count: int, rate: Fraction, say) -> Curves:
    """Curves of named columns [count]."""
    angles = np.stack([columns.get(_plain(name), np.zeros(count)) for name in ANGLES], axis=1)
    turned = {_plain(name) for name in ANGLES}
    largest = max((np.abs(values).max() for name, values in columns.items() if name not in turned), default=0)
    if largest > 200:
        raise UserError(f"{path}: values up to {largest:g} are neither 0 to 1 nor 0 to 100")
    scale = 0.01 if largest > 10 else 1.0
    if scale < 1:
        say("values taken as percent")
    if np.abs(angles).max() > 2 * np.pi:
        say("angles taken as degrees")
        angles = np.radians(angles)
    lids = {_plain(name): _plain(LID + name) for name in CONVERTED}
    own = lids | {_plain(name): _plain(SIGNED + name) for name in SHAPES if _plain(SIGNED + name) in columns}
    shut = {_plain(name): value for name, value in arkit.closing_blinks(model).items()}
    expression = np.zeros((count, len(model.expression_names)), np.float32)
    for i, name in enumerate(map(_plain, model.expression_names)):
        if own.get(name) in columns:
            expression[:, i] = scale * columns[own[name]]
        elif name in columns:
            expression[:, i] = scale * shut.get(name, 1) * columns[name]
    gaze = angles[:, [3, 4, 6, 7]]
    if not gaze.any() and not set(lids.values()) & set(columns):
        look = {name: scale * columns.get(_plain(name), np.zeros(count)) for name in LOOKS}
        gaze = arkit.gaze(look)
    rotation = arkit.rotation(angles[:, :3])
    return Curves.of(np.clip(expression, model.expression_low, 1), rotation, gaze=gaze, fps=rate)


def _plain(name: str) -> str:
    """A name without what programs differ in: case, underscores, Audio2Face's prefix, _L and _R."""
    name = re.sub(r"^blendshapes\.", "", name.strip().lower())
    return re.sub(r"_r$", "right", re.sub(r"_l$", "left", name)).replace("_", "").replace(" ", "")


def _read_cells(path: Path) -> tuple[list[str], list[list[str]], list[int]]:
    """Plain column names, the rows of cells, and each one's line in the file."""
    try:
        text = content(path, LARGEST).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text file; give a CSV of face curves") from None
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(text.splitlines(), delimiter=delimiter)
    try:
        lines = [(number, row) for number, row in enumerate(reader, 1) if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: {error}; give a CSV of face curves") from None
    if len(lines) < 2:
        raise UserError(f"{path}: {'no rows under its header' if lines else 'empty'}; give a CSV of face curves")
    names = [_plain(name) for name in lines[0][1]]
    if len(names) > MOST_COLUMNS:
        raise UserError(f"{path}: {len(names)} columns; give a CSV of face curves")
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise UserError(f"{path}: two columns {twice[0]}")
    return names, [row for _, row in lines[1:]], [number for number, _ in lines[1:]]


def _numbers(path: Path, names: list[str], rows: list[list[str]], lines: list[int], wanted: list[str]) -> np.ndarray:
    """The cells [N, C] of the wanted columns; a row that holds none of them, as when the app lost the face, is NaN."""
    at = [names.index(name) for name in wanted]
    table = np.full((len(rows), len(at)), np.nan)
    for i, (row, line) in enumerate(zip(rows, lines, strict=True)):
        cells = [row[j].strip() if j < len(row) else "" for j in at]
        if not any(cells):
            continue
        for k, cell in enumerate(cells):
            try:
                table[i, k] = float(cell)
            except ValueError:
                table[i, k] = np.nan
            if not np.isfinite(table[i, k]):
                what = f"'{cell}' is no number" if cell else "no value"
                raise UserError(f"{path}, line {line}, column {wanted[k]}: {what}")
    return table


def _times(path: Path, cells: list[str], lines: list[int], say) -> tuple[np.ndarray, Fraction]:
    """Seconds [N] from the first row, and the rate, from timecodes HH:MM:SS:FF or plain seconds."""
    smpte = ":" in cells[0]
    parsed = []
    for cell, line in zip(cells, lines, strict=True):
        match = re.fullmatch(r"(\d+):(\d+):(\d+)[:;](\d+(?:\.\d*)?)", cell.strip()) if smpte else None
        try:
            if smpte and match is None:
                raise ValueError
            hours, minutes, seconds, frame = map(float, match.groups()) if match else (0, 0, float(cell), 0)
            if not all(abs(number) < LATEST for number in (hours, minutes, seconds, frame)):  # nor is NaN
                raise ValueError
        except ValueError:
            raise UserError(f"{path}, line {line}: '{cell}' is no timecode HH:MM:SS:FF, nor seconds") from None
        parsed.append((hours * 3600 + minutes * 60 + seconds, frame))
    whole, frames = np.array(parsed).T
    if smpte:
        rate = Fraction(_counted(frames))
        if not rate:
            rate = Fraction(next(r for r in (DEFAULT_FPS, *RATES, int(frames.max()) + 1) if r > frames.max()))
            say(f"under a second of timecodes does not tell the rate: taken as {rate} rows a second")
        frame_rate(rate)
        whole = whole + frames / float(rate)
    times = whole - whole[0]
    late = np.flatnonzero(np.diff(times) <= 0)
    if len(late):
        raise UserError(f"{path}, line {lines[late[0] + 1]}: its time is not after that of the row before")
    if not smpte:
        if len(times) == 1:
            return times, Fraction(DEFAULT_FPS)
        steady = np.median(np.diff(times))
        mean = times[-1] / (len(times) - 1)
        rate = frame_rate(1 / (mean if abs(mean / steady - 1) < 0.01 else steady))
    return times, rate


def _counted(frames: np.ndarray) -> int:
    """Frames a second from the frame field of timecodes; 0 if it never starts anew."""
    if not (np.diff(frames) < 0).any():
        return 0
    if np.isin(np.diff(frames), (1, -frames.max())).all():  # none left out
        return int(frames.max()) + 1
    return next((rate for rate in RATES if rate > frames.max()), int(frames.max()) + 1)
