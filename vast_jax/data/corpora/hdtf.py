"""HDTF (Zhang et al. 2021): parts of videos on YouTube, of which the authors publish lists: where, when, which face.

The folder HDTF_dataset of its repository (RD_annotion_time.txt, RD_crop_wh.txt, RD_resolution.txt; the same of WDA and
WRA), and below the same root the videos: whole (Radio11.mp4 or RD_Radio11.mp4), of which the parts are read, or cut
already (Radio11_0.mp4, or RD_Radio11_000.mp4 as the common downloader names them).
"""

import re
from pathlib import Path

from vast_jax import media
from vast_jax.data.corpora.recording import Listing, Recording, segment
from vast_jax.data.names import videos_below
from vast_jax.types import UserError

_TIMES = "_annotion_time.txt"  # sic
_CUT = re.compile(r"(RD|WDA|WRA)_(.+)_(\d+)")


def listing(root: Path) -> Listing:
    """The clips below `root`. UserError: none, or a list of another form."""
    videos = {path.stem: path for path in videos_below(root)}
    lists = sorted(root.rglob(f"*{_TIMES}"))
    recordings, left_out = [], {}
    for times in lists:
        subset = times.name.removesuffix(_TIMES)
        crops, heights = (_rows(times.with_name(f"{subset}_{kind}.txt")) for kind in ("crop_wh", "resolution"))
        for video, spans in _rows(times).items():
            whole = videos.get(video) or videos.get(f"{subset}_{video}")
            for number, span in enumerate(spans):
                name = _name(subset, video, number)
                start, stop = _span(span, times)
                cut = videos.get(f"{video}_{number}") or videos.get(f"{subset}_{video}_{number:03d}")
                if cut:
                    recordings.append(Recording(name, cut, _speaker(video)))
                elif whole:
                    face = _face(whole, crops.get(f"{video}_{number}"), heights.get(video))
                    recordings.append(Recording(name, segment(whole, start, stop), _speaker(video), face))
                else:
                    left_out[name] = f"the video {subset} {video} is not below {root}"
    if not lists:  # the downloader's results alone
        cuts = [(match, path) for stem, path in videos.items() if (match := _CUT.fullmatch(stem))]
        recordings = [Recording(_name(m[1], m[2], int(m[3])), path, _speaker(m[2])) for m, path in cuts]
    return Listing(recordings, left_out).checked(root, "HDTF", f"RD{_TIMES} and Radio11.mp4, or RD_Radio11_000.mp4")


def _rows(path: Path) -> dict[str, list[str]]:
    """Words of each line by the first one, a video's or clip's name; nothing where there is no such file."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return {words[0].removesuffix(".mp4"): words[1:] for words in map(str.split, lines) if words}


def _span(text: str, path: Path) -> tuple[float, float]:
    """Seconds of "00:30-01:00" (or with hours)."""
    try:
        start, stop = (sum(float(x) * 60**k for k, x in enumerate(reversed(t.split(":")))) for t in text.split("-"))
    except ValueError:
        raise UserError(f"{path}: {text!r} is not 'minutes:seconds-minutes:seconds'") from None
    if not start < stop:
        raise UserError(f"{path}: {text!r} ends before it begins")
    return start, stop


def _face(video: Path, crop: list[str] | None, height: list[str] | None) -> str:
    """The face to follow: at the middle of the authors' crop (left, width, top, height in a picture of that height)."""
    try:
        left, width, top, tall = map(int, crop or ())
        info = media.probe(video)
        lines = int(height[0]) if height else 0
    except (ValueError, UserError):  # no crop is known, or preparing will tell what is wrong with the video
        return ""
    scale = (lines or info.height) / info.height  # the authors' 0 stands for unknown
    x, y = (left + width / 2) / (scale * info.width), (top + tall / 2) / (scale * info.height)
    return f"{x:.3f},{y:.3f}" if max(x, y) < 1 else ""


def _name(subset: str, video: str, number: int) -> str:
    return f"hdtf/{_speaker(video)}/{subset}_{video}_{number}"


def _speaker(video: str) -> str:
    """The name without the number of the video; RD's are all called Radio, and count as one."""
    return re.sub(r"\d+$", "", video)
