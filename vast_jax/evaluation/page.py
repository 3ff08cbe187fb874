"""report.html: one file with the tables, the plots, and the worst and best clips as videos beside the real ones."""

import base64
import html
import io
import json
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
from vast_jax.evaluation.measuring import REAL, Measured
from vast_jax.evaluation.summary import FIGURES, OTHER_INSTRUMENTS, PAPER_NOTE, PAPER_TABLE_1, TABLE_1, Value
from vast_jax.metrics.sync import MAX_SHIFT

SHOWN = 3  # worst and best clips
LONGEST = 20 * media.FPS  # frames of a video on the page
HEIGHT = 256  # pixels of a video on the page
PLOTTED = ("lmd_m", "lip_correlation", "mouth_error", "ssim_hole", "lpips_hole", "cpbd_hole", "sync_distance", "jitter")
CLIP_COLUMNS = ("lmd_m", "lip_correlation", "mouth_error", "ssim_hole", "cpbd_hole", "sync_distance", "sync_confidence")
_ORDERS = (("lmd_m", False), ("sync_distance", False))  # clips are ranked by the first that there is; low is good

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1180px; padding: 0 1rem; color: #1c1c1e; }
h1 { font-size: 1.6rem; } h2 { margin-top: 2.4rem; border-bottom: 1px solid #ddd; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; } .wide { overflow-x: auto; }
th, td { padding: .25rem .6rem; text-align: right; white-space: nowrap; } th { border-bottom: 2px solid #888; }
th:first-child, td:first-child { text-align: left; } tr:nth-child(even) td { background: #f5f5f7; }
tr.ours td { font-weight: 600; background: #e8f0fe; } tr.paper td { color: #777; font-style: italic; }
td.best { background: #d7f0dc !important; } small, .note { color: #666; } .sortable th { cursor: pointer; }
video, img { max-width: 100%; } figure { margin: 1rem 0; } dt { font-weight: 600; } dd { margin: 0 0 .4rem 1rem; }
.fault { color: #a00; }
"""
_SORT = """
for (const table of document.querySelectorAll("table.sortable"))
  table.querySelectorAll("th").forEach((head, column) => head.onclick = () => {
    const rows = [...table.tBodies[0].rows], turn = head.dataset.turn = head.dataset.turn === "1" ? "-1" : "1";
    const value = row => { const text = row.cells[column].textContent, number = parseFloat(text);
      return isNaN(number) ? text : number; };
    rows.sort((a, b) => (value(a) > value(b) ? 1 : value(a) < value(b) ? -1 : 0) * turn);
    table.tBodies[0].append(...rows);
  });
"""


def write_page(
    path: Path,
    about: Mapping[str, object],
    systems: Mapping[str, str],
    table: Mapping[str, Mapping[str, Value]],
    clips: Mapping[str, Mapping[str, Measured]],
    videos: Mapping[str, Mapping[str, Path]],
    failed: Mapping[str, str],
    sections: Sequence[str] = (),
) -> None:
    """Writes the page.

    Args:
      path: of the .html file, from an `atomic_path`.
      about: facts of the evaluation, by name.
      systems: what each system is; the first but the real one is the one judged.
      table: figures of `summary.summarise`.
      clips: {clip: {system: `Measured`}}.
      videos: {clip: {system: path}}.
      failed: what could not be measured, and why.
      sections: further HTML, such as `style_section` gives.
    """
    judged = next((system for system in systems if system != REAL), REAL)
    ranked = _ranked(clips, judged)
    parts = [f"<h1>Evaluation of {_text(about.get('title', judged))}</h1>", _facts(about)]
    if clips:
        parts += ["<h2>The paper's Table 1</h2>", table_1(table, judged), f"<p class=note>{_text(PAPER_NOTE)}</p>"]
        parts += ["<h2>All figures</h2>", _systems(systems), all_figures(table)]
        parts += ["<h2>Over the clips</h2>", _image(_distributions(clips, list(systems)), "figures by clip and system")]
        if (curves := _sync_curves(clips, list(systems))) is not None:
            parts += [_image(curves, "distance of lips and sound, moved against each other")]
        worst = ranked[-SHOWN:][::-1]
        best = [name for name in ranked[:SHOWN] if name not in worst]
        for title, names in (("Worst clips", worst), ("Best clips", best)):
            if names:
                parts += [f"<h2>{title}</h2>", *(_clip(name, clips[name], videos[name], judged) for name in names)]
    parts += sections
    if clips:
        parts += [f"<h2>Every clip: {_text(judged)}</h2>", _clip_table(clips, judged, ranked)]
    if failed:
        faults = "".join(f"<li>{_text(name)}: {_text(fault)}</li>" for name, fault in failed.items())
        parts += [f"<h2>Remarks on single clips ({len(failed)})</h2><ul class=fault>{faults}</ul>"]
    if clips:
        parts += ["<h2>Conventions</h2>", _conventions(table)]
    title = f"<title>{_text(about.get('title', 'Evaluation'))}</title>"
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width">{title}<style>{_STYLE}</style>'
    body = "\n".join(parts)
    path.write_text(
        f"<!doctype html><html lang=en><head>{head}</head><body>\n{body}\n<script>{_SORT}</script></body></html>\n",
        encoding="utf-8",
    )


def style_section(title: str, note: str, figures: Mapping[str, float], plot: bytes | None = None) -> str:
    """Further figures under a heading, with a PNG."""
    rows = "".join(f"<tr><td>{_text(name)}</td><td>{_number(value, 3)}</td></tr>" for name, value in figures.items())
    picture = _image(plot, title) if plot else ""
    head = "<tr><th>figure</th><th>value</th></tr>"
    return f"<h2>{_text(title)}</h2><p class=note>{_text(note)}</p>{picture}<table>{head}{rows}</table>"


def table_1(table: Mapping[str, Mapping[str, Value]], judged: str) -> str:
    """The paper's rows, and ours with the controls."""
    head = "".join(f"<th>{_text(FIGURES[name].title)}</th>" for name in TABLE_1)
    rows = [f"<tr><th></th>{head}</tr>"]
    for name, values in PAPER_TABLE_1.items():
        cells = "".join(_paper_cell(column, value) for column, value in zip(TABLE_1, values, strict=True))
        rows.append(f"<tr class=paper><td>{_text(name)}</td>{cells}</tr>")
    for system, values in table.items():
        cells = "".join(
            f"<td>{_number(values[name].mean, FIGURES[name].digits) if name in values else '–'}</td>"
            for name in TABLE_1
        )
        mark = " class=ours" if system == judged else ""
        rows.append(f"<tr{mark}><td>{_text(system)}</td>{cells}</tr>")
    return f"<div class=wide><table>{''.join(rows)}</table></div>"


def _paper_cell(column: str, value: float | None) -> str:
    if value is None:
        return "<td>–</td>"
    return f"<td>({value})</td>" if column in OTHER_INSTRUMENTS else f"<td>{value}</td>"


def all_figures(table: Mapping[str, Mapping[str, Value]]) -> str:
    """A line a figure, a column a system."""
    names = [name for name in FIGURES if any(name in values for values in table.values())]
    head = "".join(f"<th>{_text(system)}</th>" for system in table)
    rows = [f"<tr><th>figure</th><th></th>{head}<th>N</th></tr>"]
    for name in names:
        figure = FIGURES[name]
        cells = []
        for values in table.values():
            value = values.get(name)
            middle = (
                ""
                if value is None or np.isnan(value.median)
                else f" <small>({_number(value.median, figure.digits)})</small>"
            )
            cells.append(f"<td>{_number(value.mean, figure.digits) + middle if value else ''}</td>")
        wanted = {"high": "↑", "low": "↓", "": ""}[figure.better]
        unit = f" <small>{_text(figure.unit)}</small>" if figure.unit else ""
        count = max(values[name].n for values in table.values() if name in values)
        rows.append(f"<tr><td>{_text(figure.title)} {wanted}</td><td>{unit}</td>{''.join(cells)}<td>{count}</td></tr>")
    note = "<p class=note>Means over clips, medians in brackets; ↑ high is good, ↓ low is good, else as the real video."
    return f"{note}</p><div class=wide><table>{''.join(rows)}</table></div>"


def _facts(about: Mapping[str, object]) -> str:
    shown = {name: value for name, value in about.items() if name != "title" and value is not None}
    return "<p class=note>" + " · ".join(f"{_text(name)}: {_text(value)}" for name, value in shown.items()) + "</p>"


def _systems(systems: Mapping[str, str]) -> str:
    return "<dl>" + "".join(f"<dt>{_text(name)}</dt><dd>{_text(what)}</dd>" for name, what in systems.items()) + "</dl>"


def _conventions(table: Mapping[str, Mapping[str, Value]]) -> str:
    used = [name for name in FIGURES if any(name in values for values in table.values())]
    lines = "".join(f"<dt>{_text(FIGURES[n].title)}</dt><dd>{_text(FIGURES[n].convention)}</dd>" for n in used)
    return f"<dl>{lines}</dl>"


def _ranked(clips: Mapping[str, Mapping[str, Measured]], judged: str) -> list[str]:
    """Clips from the best to the worst."""
    for name, highest in _ORDERS:
        values = {clip: found[judged].figures.get(name, np.nan) for clip, found in clips.items() if judged in found}
        values = {clip: value for clip, value in values.items() if np.isfinite(value)}
        if values:
            return sorted(values, key=values.get, reverse=highest)
    return [clip for clip, found in clips.items() if judged in found]


def _clip(name: str, found: Mapping[str, Measured], videos: Mapping[str, Path], judged: str) -> str:
    shown = [system for system in videos if system in found][:3]
    figures = found[judged].figures
    words = ", ".join(
        f"{FIGURES[key].title} {_number(figures[key], FIGURES[key].digits)}" for key in CLIP_COLUMNS if key in figures
    )
    read = found[judged].words.get("greedy")
    read = f"; read from its lips: “{_text(read)}”" if read is not None else ""
    video, poster = map(_base64, _side_by_side({system: videos[system] for system in shown}, judged))
    player = (
        f'<video controls loop playsinline poster="data:image/jpeg;base64,{poster}" '
        f'src="data:video/mp4;base64,{video}"></video>'
    )
    lips = _image(_lips({system: found[system].arrays["aperture"] for system in shown}), "gap between the lips")
    return f"<figure>{player}{lips}<figcaption><b>{_text(name)}</b>: {_text(words)}{read}</figcaption></figure>"


def _side_by_side(videos: Mapping[str, Path], judged: str) -> tuple[bytes, bytes]:
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
        samples, rate = media.native_audio(heard)
        sound = samples[: LONGEST * rate // media.FPS], rate
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        media.write_video(path, pictures(), (first.shape[1], first.shape[0]), sound, media.AI_GENERATED, crf=20)
        return path.read_bytes(), encode_jpeg(next(islice(pictures(), middle, None)))


def _labelled(frame: np.ndarray, name: str) -> np.ndarray:
    width = max(2, round(frame.shape[1] * HEIGHT / frame.shape[0]) // 2 * 2)
    picture = Image.fromarray(frame).resize((width, HEIGHT), Image.Resampling.BICUBIC)
    ImageDraw.Draw(picture).text((5, 3), name, fill="white", stroke_width=1, stroke_fill="black")
    return np.asarray(picture)


def _clip_table(clips: Mapping[str, Mapping[str, Measured]], judged: str, order: Sequence[str]) -> str:
    columns = [key for key in CLIP_COLUMNS if any(key in clips[name][judged].figures for name in order)]
    reads = any(clips[name][judged].words for name in order)
    head = "".join(f"<th>{_text(FIGURES[key].title)}</th>" for key in columns) + ("<th>read</th>" if reads else "")
    rows = []
    for name in order:
        measured = clips[name][judged]
        cells = "".join(f"<td>{_number(measured.figures.get(key), FIGURES[key].digits)}</td>" for key in columns)
        read = f"<td>{_text(measured.words.get('greedy', ''))}</td>" if reads else ""
        rows.append(f"<tr><td>{_text(name)}</td>{cells}{read}</tr>")
    table = f"<thead><tr><th>clip</th>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return f"<p class=note>Click a heading to sort.</p><div class=wide><table class=sortable>{table}</table></div>"


def _distributions(clips: Mapping[str, Mapping[str, Measured]], systems: Sequence[str]) -> bytes:
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


def _sync_curves(clips: Mapping[str, Mapping[str, Measured]], systems: Sequence[str]) -> bytes | None:
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


def _lips(apertures: Mapping[str, np.ndarray]) -> bytes:
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


def _png(plot: Plot) -> bytes:
    buffer = io.BytesIO()
    plot.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _image(png: bytes, words: str) -> str:
    return f'<img alt="{_text(words)}" src="data:image/png;base64,{_base64(png)}">'


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _mean(values: Mapping[str, Value], name: str) -> str:
    return _number(values[name].mean, FIGURES[name].digits) if name in values else ""


def _number(value: float | None, digits: int) -> str:
    return "" if value is None or not np.isfinite(value) else f"{value:.{digits}f}"


def _text(value: object) -> str:
    return html.escape(value if isinstance(value, str) else json.dumps(value, default=str).strip('"'))
