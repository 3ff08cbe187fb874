"""report.html: one file with the tables, the plots, and the worst and best clips as videos beside the real ones."""

import base64
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vast_jax.evaluate.measuring import REAL, Measured
from vast_jax.evaluate.pictures import distributions, lips, side_by_side, sync_curves
from vast_jax.evaluate.summary import FIGURES, OTHER_INSTRUMENTS, PAPER_NOTE, PAPER_TABLE_1, TABLE_1, Value, conventions
from vast_jax.evaluate.summary import remarks as summary_remarks

SHOWN = 3  # worst and best clips
CLIP_COLUMNS = ("lmd_m", "lip_correlation", "mouth_error", "ssim_hole", "cpbd_hole", "sync_distance", "sync_confidence")
_ORDERS = ("lmd_m", "sync_distance")  # clips are ranked by the first that there is; low is good

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
    remarks: Mapping[str, str],
    sections: Sequence[str] = (),
    published_sync: bool = False,
) -> None:
    """Writes the page.

    Args:
      path: of the .html file, from an `atomic_path`.
      about: facts of the evaluation, by name.
      systems: what each system is; the first but the real one is the one judged.
      table: figures of `summary.summarise`.
      clips: {clip: {system: `Measured`}}.
      videos: {clip: {system: path}}.
      remarks: what could not be measured, and what is worth knowing, by clip.
      sections: further HTML, such as `style_section` gives.
      published_sync: whether the sync figures are of the published SyncNet.
    """
    judged = next((system for system in systems if system != REAL), REAL)
    ranked = _ranked(clips, judged)
    parts = [f"<h1>Evaluation of {_text(about.get('title', judged))}</h1>", _facts(about)]
    if clips:
        parts += [
            "<h2>The paper's Table 1</h2>",
            table_1(table, judged, published_sync),
            f"<p class=note>{_text(PAPER_NOTE)}</p>",
        ]
        parts += [f"<p class=fault>{_text(words)}</p>" for words in summary_remarks(table)]
        parts += ["<h2>All figures</h2>", _systems(systems), all_figures(table)]
        parts += ["<h2>Over the clips</h2>", _image(distributions(clips, list(systems)), "figures by clip and system")]
        if (curves := sync_curves(clips, list(systems))) is not None:
            parts += [_image(curves, "distance of lips and sound, moved against each other")]
        worst = ranked[-SHOWN:][::-1]
        best = [name for name in ranked[:SHOWN] if name not in worst]
        for title, names in (("Worst clips", worst), ("Best clips", best)):
            if names:
                parts += [f"<h2>{title}</h2>", *(_clip(name, clips[name], videos[name], judged) for name in names)]
    parts += sections
    if clips:
        parts += [f"<h2>Every clip: {_text(judged)}</h2>", _clip_table(clips, judged, ranked)]
    if remarks:
        lines = "".join(f"<li>{_text(name)}: {_text(words)}</li>" for name, words in remarks.items())
        parts += [f"<h2>Remarks on single clips ({len(remarks)})</h2><ul class=fault>{lines}</ul>"]
    if clips:
        parts += ["<h2>Conventions</h2>", _conventions(table, conventions(published_sync))]
    title = f"<title>{_text(about.get('title', 'Evaluation'))}</title>"
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width">{title}<style>{_STYLE}</style>'
    body = "\n".join(parts)
    path.write_text(
        f"<!doctype html><html lang=en><head>{head}</head><body>\n{body}\n<script>{_SORT}</script></body></html>\n",
        encoding="utf-8",
        errors="replace",
    )


def style_section(title: str, note: str, figures: Mapping[str, float], plot: bytes | None = None) -> str:
    """Further figures under a heading, with a PNG."""
    rows = "".join(f"<tr><td>{_text(name)}</td><td>{_number(value, 3)}</td></tr>" for name, value in figures.items())
    picture = _image(plot, title) if plot else ""
    head = "<tr><th>figure</th><th>value</th></tr>"
    return f"<h2>{_text(title)}</h2><p class=note>{_text(note)}</p>{picture}<table>{head}{rows}</table>"


def table_1(table: Mapping[str, Mapping[str, Value]], judged: str, published_sync: bool = False) -> str:
    """The paper's rows, and ours with the controls; brackets: of other instruments."""
    other = set(OTHER_INSTRUMENTS) - ({"sync_distance", "sync_confidence"} if published_sync else set())
    true_fid = any("fid" in values for values in table.values())
    columns = ["fid" if true_fid and name == "fd_vgg16" else name for name in TABLE_1]
    head = "".join(f"<th>{_text(FIGURES[name].title)}</th>" for name in columns)
    rows = [f"<tr><th></th>{head}</tr>"]
    for name, values in PAPER_TABLE_1.items():
        cells = "".join(_paper_cell(value, column in other) for column, value in zip(columns, values, strict=True))
        rows.append(f"<tr class=paper><td>{_text(name)}</td>{cells}</tr>")
    for system, values in table.items():
        cells = "".join(f"<td>{_mean(values, name) or '–'}</td>" for name in columns)
        mark = " class=ours" if system == judged else ""
        rows.append(f"<tr{mark}><td>{_text(system)}</td>{cells}</tr>")
    return f"<div class=wide><table>{''.join(rows)}</table></div>"


def _paper_cell(value: float | None, other: bool) -> str:
    if value is None:
        return "<td>–</td>"
    return f"<td>({value})</td>" if other else f"<td>{value}</td>"


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
        counts = sorted({values[name].n for values in table.values() if name in values})
        count = f"{counts[0]}–{counts[-1]}" if len(counts) > 1 else counts[0]
        rows.append(f"<tr><td>{_text(figure.title)} {wanted}</td><td>{unit}</td>{''.join(cells)}<td>{count}</td></tr>")
    note = "<p class=note>Means over clips, medians in brackets; ↑ high is good, ↓ low is good, else as the real video."
    return f"{note}</p><div class=wide><table>{''.join(rows)}</table></div>"


def _facts(about: Mapping[str, object]) -> str:
    shown = {name: value for name, value in about.items() if name != "title" and value is not None}
    return "<p class=note>" + " · ".join(f"{_text(name)}: {_text(value)}" for name, value in shown.items()) + "</p>"


def _systems(systems: Mapping[str, str]) -> str:
    return "<dl>" + "".join(f"<dt>{_text(name)}</dt><dd>{_text(what)}</dd>" for name, what in systems.items()) + "</dl>"


def _conventions(table: Mapping[str, Mapping[str, Value]], told: Mapping[str, str]) -> str:
    used = [name for name in FIGURES if any(name in values for values in table.values())]
    lines = "".join(f"<dt>{_text(FIGURES[n].title)}</dt><dd>{_text(told[n])}</dd>" for n in used)
    return f"<dl>{lines}</dl>"


def _ranked(clips: Mapping[str, Mapping[str, Measured]], judged: str) -> list[str]:
    """Clips from the best to the worst, then those that cannot be told."""
    names = [clip for clip, found in clips.items() if judged in found]
    for name in _ORDERS:
        values = {clip: clips[clip][judged].figures.get(name, np.nan) for clip in names}
        if np.isfinite(list(values.values())).any():
            return sorted((c for c in names if np.isfinite(values[c])), key=values.get) + [
                c for c in names if not np.isfinite(values[c])
            ]
    return names


def _clip(name: str, found: Mapping[str, Measured], videos: Mapping[str, Path], judged: str) -> str:
    shown = [system for system in videos if system in found][:3]
    figures = found[judged].figures
    words = ", ".join(
        f"{FIGURES[key].title} {_number(figures[key], FIGURES[key].digits)}" for key in CLIP_COLUMNS if key in figures
    )
    read = found[judged].words.get("greedy")
    read = f"; read from its lips: “{_text(read)}”" if read is not None else ""
    try:
        video, poster = map(_base64, side_by_side({system: videos[system] for system in shown}, judged))
        player = (
            f'<video controls loop playsinline poster="data:image/jpeg;base64,{poster}" '
            f'src="data:video/mp4;base64,{video}"></video>'
        )
    except Exception as error:  # the page is worth having without it
        player = f"<p class=fault>the videos cannot be shown: {_text(str(error))}</p>"
    curve = _image(lips({system: found[system].arrays["aperture"] for system in shown}), "gap between the lips")
    return f"<figure>{player}{curve}<figcaption><b>{_text(name)}</b>: {_text(words)}{read}</figcaption></figure>"


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
