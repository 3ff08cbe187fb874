"""The page's pictures and videos: plots over the clips, and clips side by side."""

import io
import tempfile
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Plot
from PIL import Image, ImageDraw

from vast_jax import media
from vast_jax.data.clips import encode_jpeg
from vast_jax.evaluate.measuring import Measured
from vast_jax.evaluate.summary import FIGURES
from vast_jax.metrics.sync import MAX_SHIFT

LONGEST = 20 * media.FPS  # frames of a video on the page
HEIGHT = 256  # pixels of a video on the page
PLOTTED = ("lmd_m", "lip_correlation", "mouth_error", "ssim_hole", "lpips_hole", "cpbd_hole", "sync_distance", "jitter")


def distributions(clips: Mapping[str, Mapping[str, Measured]], systems: Sequence[str]) -> bytes:
    """Every clip a dot, by figure and system."""
    values = {
        key: {s: [f[s].figures[key] for f in clips.values() if s in f and key in f[s].figures] for s in systems}
        for key in PLOTTED
    }
    shown = [key for key in PLOTTED if any(values[key].values())]
    plot = Plot(figsize=(11, 2.3 * -(-len(shown) // 2) + 0.3), layout="constrained")
    FigureCanvasAgg(plot)
    axes = plot.subplots(-(-len(shown) // 2) or 1, 2, squeeze=False).ravel()
    rng = np.random.default_rng(0)
    for axis, key in zip(axes, shown, strict=False):
        names = [s for s in systems if values[key][s]]
        for row, system in enumerate(names[::-1]):
            x = np.array(values[key][system], float)
            colour = f"C{list(systems).index(system)}"
            axis.plot(x, row + rng.uniform(-0.22, 0.22, len(x)), ".", color=colour, alpha=0.55, markersize=5)
            axis.plot(np.nanmedian(x), row, "k|", markersize=18)
        axis.set_yticks(range(len(names)), names[::-1], fontsize=8)
        axis.set_ylim(-0.6, len(names) - 0.4)
        figure = FIGURES[key]
        axis.set_title(figure.title + (f", {figure.unit}" if figure.unit else ""), fontsize=9, loc="left")
        axis.grid(axis="x", alpha=0.3)
    for axis in axes[len(shown) :]:
        axis.set_axis_off()
    return _png(plot)


def sync_curves(clips: Mapping[str, Mapping[str, Measured]], systems: Sequence[str]) -> bytes | None:
    """SyncNet's distance at every shift, mean of the clips by system; None where nothing was heard."""
    curves = {
        s: [f[s].arrays["sync_curve"] for f in clips.values() if s in f and "sync_curve" in f[s].arrays]
        for s in systems
    }
    curves = {s: np.stack(found) for s, found in curves.items() if found}
    if not curves:
        return None
    plot = Plot(figsize=(7, 3), layout="constrained")
    FigureCanvasAgg(plot)
    axis, shifts = plot.subplots(), np.arange(-MAX_SHIFT, MAX_SHIFT + 1)
    for system, found in curves.items():
        seen, colour = np.isfinite(found).any(0), f"C{list(systems).index(system)}"
        axis.plot(shifts[seen], np.nanmean(found[:, seen], axis=0), label=system, marker=".", color=colour)
    axis.set(xlabel="frames by which the sound is late", ylabel="SyncNet distance")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    return _png(plot)


def lips(apertures: Mapping[str, np.ndarray]) -> bytes:
    """The gap between the lips over time by system, the real one first."""
    plot = Plot(figsize=(7.7, 1.7), layout="constrained")
    FigureCanvasAgg(plot)
    axis = plot.subplots()
    for (name, gap), style in zip(apertures.items(), ("k-", "C3-", "C0--"), strict=False):
        axis.plot(np.arange(len(gap)) / media.FPS, gap, style, label=name, linewidth=1.3)
    axis.set_xlabel("s", fontsize=8)
    axis.set_ylabel("lip gap", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=7, loc="upper right")
    return _png(plot)


def side_by_side(videos: Mapping[str, Path], judged: str) -> tuple[bytes, bytes]:
    """An MP4 of videos side by side with the sound of the one judged, or of another if it has none; and its middle."""

    def pictures():
        streams = [islice(media.read_frames(path, longest=2 * HEIGHT), LONGEST) for path in videos.values()]
        for frames in zip(*streams, strict=False):
            yield np.concatenate([_labelled(f, name) for f, name in zip(frames, videos, strict=True)], axis=1)

    first, middle = next(pictures()), sum(1 for _ in pictures()) // 2
    order = [judged, *videos]
    heard = next((videos[s] for s in order if s in videos and media.probe(videos[s]).has_audio), None)
    sound = None
    if heard is not None:
        sound = media.native_audio(heard, LONGEST / media.FPS)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        media.write_video(path, pictures(), (first.shape[1], first.shape[0]), sound, media.AI_GENERATED, crf=20)
        return path.read_bytes(), encode_jpeg(next(islice(pictures(), middle, None)))


def _labelled(frame: np.ndarray, name: str) -> np.ndarray:
    width = max(2, round(frame.shape[1] * HEIGHT / frame.shape[0]) // 2 * 2)
    picture = Image.fromarray(frame).resize((width, HEIGHT), Image.Resampling.BICUBIC)
    ImageDraw.Draw(picture).text((5, 3), name, fill="white", stroke_width=1, stroke_fill="black")
    return np.asarray(picture)


def _png(plot: Plot) -> bytes:
    buffer = io.BytesIO()
    plot.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
