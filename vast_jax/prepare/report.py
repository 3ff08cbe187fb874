"""What was kept, what was dropped and why: report.json to read by program, report.md and contact sheets to look at."""

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from vast_jax.data.builders import folder_of
from vast_jax.data.names import video_of
from vast_jax.files import atomic_path
from vast_jax.media import FPS
from vast_jax.prepare.jobs import Outcome

_SHEET_COLUMNS, _SHEET_CLIPS = 10, 40
_CAPTION = 18  # pixels
PICTURES = "report"  # folder of the pictures, in it one a folder of clips
_LEGEND = """
Pixels are those of the 256x256 crop. A picture shows the frame with the mouth widest open and the
one with the worst fit, and of each, from above: the crop; landmarks, detected green and fitted red;
the fitted head; its face over the crop, where a wrong shape or pose shows. A cut may lead to another person: see the
pictures of a video's parts. "Late": by how many frames the sound is; "sync": how sure the lips are of it; "sharp": the
face's CPBD. A doubtful clip is kept, and listed above its folder's table. Frames that are not tracked (bridged, or a
fit that stands out) are left out of training.
"""


def write_report(out: Path, outcomes: Iterable[Outcome]) -> dict[str, dict]:
    """Adds to the report in `out` what this run did, and writes the contact sheets of the folders it touched.

    A clip that an earlier run prepared and this one found unchanged keeps its line; of a video prepared anew, the
    clips of before lose theirs, and their pictures.

    Returns:
      Figures a folder: clips kept and dropped, frames, share tracked, milliseconds a frame, faults.
    """
    path = out / "report.json"
    clips = json.loads(path.read_text())["clips"] if path.is_file() else {}
    outcomes, touched = list(outcomes), set()
    anew = {video_of(outcome.name) for outcome in outcomes if outcome.fresh}
    for name in {name for name in clips if video_of(name) in anew} - {outcome.name for outcome in outcomes}:
        del clips[name]
        (out / PICTURES / folder_of(name) / f"{name.split('/')[-1]}.jpg").unlink(missing_ok=True)
    for outcome in outcomes:
        if outcome.fresh or not outcome.kept or outcome.name not in clips:
            clips[outcome.name] = outcome.line()
        touched.add(folder_of(outcome.name))
    clips = dict(sorted(clips.items()))
    by_folder = defaultdict(dict)
    for name, line in clips.items():
        by_folder[folder_of(name)][name] = line
    figures = {folder: _figures(lines) for folder, lines in by_folder.items()}
    with atomic_path(path) as part:
        part.write_text(json.dumps({"folders": figures, "clips": clips}, indent=1) + "\n")
    with atomic_path(out / "report.md") as part:
        part.write_text(_markdown(figures, by_folder))
    for folder in touched:
        _contact_sheet(out / PICTURES / folder)
    return figures


def _figures(lines: dict[str, dict]) -> dict:
    kept = [line for line in lines.values() if line["kept"]]
    timed = [line for line in kept if line["milliseconds"]]
    frames = sum(line["frames"] for line in kept)
    stages = sorted({stage for line in timed for stage in line["milliseconds"]})
    timed_frames = sum(line["frames"] for line in timed)
    source_frames = {line["source"]: line["source_frames"] for line in lines.values()}
    return {
        "kept": len(kept),
        "dropped": len(lines) - len(kept),
        "frames": frames,
        "tracked": sum(line["tracked"] for line in kept) / max(sum(source_frames.values()), 1),
        "residual": float(np.mean([line["residual"] for line in kept])) if kept else 0.0,
        "milliseconds_a_frame": {
            stage: round(sum(line["milliseconds"].get(stage, 0) for line in timed) / timed_frames, 2)
            for stage in stages
        },
        "clips_with_faults": sum(bool(line["faults"]) for line in kept),
    }


def _markdown(figures: dict[str, dict], by_folder: dict[str, dict[str, dict]]) -> str:
    rows = [
        "| folder | kept | dropped | frames | tracked | residual, px | ms a frame | clips with faults | look at |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for folder, f in figures.items():
        stages = f["milliseconds_a_frame"]
        parts = f"{sum(stages.values()):.1f} ({', '.join(f'{k} {v:.1f}' for k, v in stages.items())})"
        rows.append(
            f"| {folder} | {f['kept']} | {f['dropped']} | {f['frames']} "
            f"| {f['tracked']:.2%} | {f['residual']:.2f} | {parts} "
            f"| {f['clips_with_faults']} | [pictures]({PICTURES}/{folder}.jpg) |"
        )
    text = ["# Prepared clips", "", *rows, _LEGEND]
    for folder, lines in by_folder.items():
        dropped = [f"- **dropped** {name}: {line['reason']}" for name, line in lines.items() if not line["kept"]]
        breaks = {video_of(name): line["breaks"] for name, line in lines.items() if line.get("breaks")}
        split = [f"- **split** {name}: {'; '.join(found)}" for name, found in breaks.items()]
        doubtful = [
            f"- **doubtful** {name}: {'; '.join(line['faults'])}" for name, line in lines.items() if line["faults"]
        ]
        listed = [*dropped, *split, *doubtful]
        text += [f"## {folder}", "", *listed, *([""] if listed else []), *_clip_table(lines), ""]
    return "\n".join(text)


def _clip_table(lines: dict[str, dict]) -> list[str]:
    """One row a kept clip."""
    rows = [
        "| clip | from, s | frames | tracked | residual, px | lips | yaw, degrees | late | sync | sharp | faults |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, line in lines.items():
        if line["kept"]:
            least, most = line.get("yaw", (0, 0))
            found = (line.get(name) for name in ("sync_offset", "sync_confidence", "sharpness"))
            scores = " | ".join("" if value is None else f"{value:g}" for value in found)
            rows.append(
                f"| {name.split('/')[-1]} | {line.get('start', 0) / FPS:.2f} | {line['frames']} | {line['tracked']} "
                f"| {line['residual']:.2f} | {line.get('lips_residual', 0):.2f} "
                f"| {round(least)} to {round(most)} | {scores} | {'; '.join(line['faults'])} |"
            )
    return rows if len(rows) > 2 else []


def _contact_sheet(pictures: Path) -> None:
    """Overlays of up to forty clips, evenly chosen, with their names, in one picture beside the folder."""
    paths = sorted(pictures.glob("*.jpg"))
    if not paths:
        return
    chosen = [paths[i] for i in np.unique(np.linspace(0, len(paths) - 1, _SHEET_CLIPS).round().astype(int))]
    tiles = [image.resize((image.width // 2, image.height // 2)) for image in map(Image.open, chosen)]
    width, height = tiles[0].width, tiles[0].height + _CAPTION
    columns = min(_SHEET_COLUMNS, len(tiles))
    sheet = Image.new("RGB", (columns * width, -(-len(tiles) // columns) * height), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (path, tile) in enumerate(zip(chosen, tiles, strict=True)):
        x, y = index % columns * width, index // columns * height
        draw.text((x + 4, y + 2), path.stem, fill="black", font_size=11)
        sheet.paste(tile, (x, y + _CAPTION))
    with atomic_path(pictures.parent / f"{pictures.name}.jpg") as part:
        sheet.save(part, quality=90)
