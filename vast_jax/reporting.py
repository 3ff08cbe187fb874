"""What a person sees of a run: scalars as JSON lines, a progress line, pictures and plots."""

import json
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from vast_jax.files import atomic_path


class Scalars:
    """Appends lines {"step": n, name: value, ...} to a JSON-lines file; a number that is not finite is null.

    Args:
        path: of the file. Lines beyond the step `keep_until` (those that a restarted run writes again) are dropped,
            and so is a last line that was cut off.
        keep_until: step of the checkpoint the run goes on from.
    """

    def __init__(self, path: str | os.PathLike, keep_until: int = -1):
        self.path = Path(path)
        self._sums: dict[str, float] = {}
        self._count, self._since = 0, time.perf_counter()
        if self.path.exists():
            kept = [line for line in self.path.read_text().splitlines() if _step_of(line) <= keep_until]
            with atomic_path(self.path) as part:
                part.write_text("".join(line + "\n" for line in kept))

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Collects the values of one step for the mean that the next `write` gives."""
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1

    def write(self, step: int, values: Mapping[str, float] | None = None) -> None:
        """Writes a line: `values`, or the means since the last line of means, with the rate in steps a second."""
        if values is None:
            now = time.perf_counter()
            values = {name: total / self._count for name, total in self._sums.items()}
            values["steps_per_second"] = self._count / max(now - self._since, 1e-9)
            self._sums, self._count, self._since = {}, 0, now
        line = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a") as file:
            file.write(json.dumps({"step": step, **line}) + "\n")


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return math.inf


class Progress:
    """A line with steps done, steps a second, time left and losses: in place on a terminal, else now and then.

    Args:
        first: steps done before this start.
        last: steps of the whole run.
        stream: where to write; standard error unless given.
        interval: seconds between two updates; by default 0.2 on a terminal, 30 elsewhere.
    """

    def __init__(self, first: int, last: int, stream: TextIO | None = None, interval: float | None = None):
        self.last, self.stream = last, sys.stderr if stream is None else stream
        self.tty = self.stream.isatty()
        self.interval = interval if interval is not None else (0.2 if self.tty else 30.0)
        self._start: tuple[int, float] | None = None  # after the first step, which compiles
        self._shown, self._width = -math.inf, 0

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_) -> None:
        if self._width:
            print(file=self.stream, flush=True)

    def update(self, step: int, metrics: Mapping[str, float] = {}) -> None:
        """Tells that `step` steps are done; of the metrics, the losses are shown."""
        now = time.perf_counter()
        self._start = self._start or (step, now)
        if now - self._shown < self.interval and step < self.last:
            return
        self._shown = now
        text = f"step {step}/{self.last}"
        if step > self._start[0]:
            rate = (step - self._start[0]) / max(now - self._start[1], 1e-9)
            text += f"  {rate:.3g} steps/s  {duration((self.last - step) / rate)} left"
        for name, value in metrics.items():
            if name.endswith("loss"):
                text += f"  {name} {value:.4g}"
        if self.tty:
            text = text[: os.get_terminal_size(self.stream.fileno()).columns - 1]
            print("\r" + text.ljust(self._width), end="", file=self.stream, flush=True)
            self._width = len(text)
        else:
            print(text, file=self.stream, flush=True)

    def say(self, text: str) -> None:
        """Prints a line of its own."""
        if self._width:
            print("\r" + " " * self._width, end="\r", file=self.stream)
            self._width = 0
        print(text, file=self.stream, flush=True)


def duration(seconds: float) -> str:
    """Words for a time: "45 s", "12 min", "3 h 05 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def jsonable(value):
    """The same for JSON: numpy numbers as Python's, and None for a number that is not finite."""
    if isinstance(value, Mapping):
        return {str(name): jsonable(item) for name, item in value.items()}
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def image_grid(rows: Sequence[Sequence[np.ndarray]], gap: int = 2) -> np.ndarray:
    """Puts images into one, row under row.

    Args:
        rows: uint8 images [H, W, 3], [H, W, 1] or [H, W]; sizes may differ, each is put at the upper left of its cell.
        gap: pixels of white between cells.

    Returns:
        uint8 [height, width, 3].
    """
    rows = [[_rgb(image) for image in row] for row in rows]
    columns = max(len(row) for row in rows)
    heights = [max(image.shape[0] for image in row) for row in rows]
    widths = [max(row[c].shape[1] for row in rows if c < len(row)) for c in range(columns)]
    grid = np.full((sum(heights) + gap * (len(rows) - 1), sum(widths) + gap * (columns - 1), 3), 255, np.uint8)
    for r, row in enumerate(rows):
        top = sum(heights[:r]) + gap * r
        for c, image in enumerate(row):
            left = sum(widths[:c]) + gap * c
            grid[top : top + image.shape[0], left : left + image.shape[1]] = image
    return grid


def _rgb(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    if image.dtype != np.uint8:
        raise TypeError(f"images are uint8, not {image.dtype}")
    image = image[..., None] if image.ndim == 2 else image
    return np.broadcast_to(image, (*image.shape[:2], 3))


def save_png(path: str | os.PathLike, image: np.ndarray) -> None:
    """Writes a uint8 image [H, W, 3] or [H, W]."""
    with atomic_path(path) as part:
        Image.fromarray(np.ascontiguousarray(image)).save(part, format="PNG")


def plot_curves(
    path: str | os.PathLike,
    curves: Mapping[str, np.ndarray] | Mapping[str, Mapping[str, np.ndarray]],
    *,
    title: str = "",
    x_label: str = "",
    y_label: str = "",
    x_scale: float = 1.0,
) -> None:
    """Plots curves as a PNG.

    Args:
        path: of the PNG.
        curves: {name: [N]} in one panel, or {panel: {name: [N]}} in one panel under the other.
        title, x_label, y_label: words beside the plot.
        x_scale: x of sample i is i times this, such as 1 / FPS.
    """
    nested = any(isinstance(value, Mapping) for value in curves.values())
    panels = curves if nested else {"": curves}
    figure = Figure(figsize=(10, 1.2 + 2.4 * len(panels)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axis, (panel, lines) in zip(axes, panels.items(), strict=True):
        for name, values in lines.items():
            axis.plot(np.arange(len(values)) * x_scale, values, label=name, linewidth=1.2)
        axis.set_title(panel, fontsize=9, loc="left")
        axis.set_ylabel(y_label)
        axis.grid(alpha=0.3)
        if lines:
            axis.legend(fontsize=8, loc="upper right")
    axes[-1].set_xlabel(x_label)
    figure.suptitle(title)
    with atomic_path(path) as part:
        figure.savefig(part, format="png", dpi=100)
