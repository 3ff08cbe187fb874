"""Ted-HD (Wu et al. 2021) and sets made like it: long videos with lists of times, or the slices cut by them.

As its authors' scripts have them: 12.mp4 with 12_time.txt beside it, in which a line "start,stop" in seconds is a clip;
or 12/0.mp4, 12/1.mp4. The number is the speaker's.
"""

from pathlib import Path

from vast_jax.data.corpora.recording import Listing, Recording, segment
from vast_jax.data.names import videos_below
from vast_jax.types import UserError

_LIST = "_time.txt"
_MARGIN = 0.2  # seconds that the authors leave out at either end of a clip


def listing(root: Path) -> Listing:
    """The clips below `root`. UserError: none, or a list of another form."""
    videos = videos_below(root)
    long = {(path.parent, path.stem): path for path in videos}
    recordings, left_out, listed = [], {}, set()
    for times in sorted(root.rglob(f"*{_LIST}")):
        speaker = times.name.removesuffix(_LIST)
        video = long.get((times.parent, speaker))
        listed.add(video)
        for number, (start, stop) in enumerate(read_times(times)):
            name = _name(speaker, number)
            if video is None:
                left_out[name] = f"no video {times.with_name(speaker)} beside its list"
            else:
                part = segment(video, start + _MARGIN, stop - _MARGIN)
                recordings.append(Recording(name, part, _person(speaker)))
    recordings += [
        Recording(_name(path.absolute().parent.name, int(path.stem)), path, _person(path.absolute().parent.name))
        for path in videos
        if path not in listed and path.stem.isdecimal() and path.absolute().parent.name.isdecimal()
    ]
    return Listing(recordings, left_out).checked(root, "Ted-HD", "12.mp4 with 12_time.txt, or 12/0.mp4")


def read_times(path: Path) -> list[tuple[float, float]]:
    """Start and stop in seconds, a line each. UserError: lines of another form."""
    times = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip():
            try:
                start, stop = map(float, line.split(",")[:2])
            except ValueError:
                raise UserError(f"{path}: {line!r} is not 'start,stop' in seconds") from None
            if not 0 <= start < stop - 2 * _MARGIN:
                raise UserError(f"{path}: {line!r} is no time of a second or so: start,stop in seconds")
            times.append((start, stop))
    return times


def _name(speaker: str, number: int) -> str:
    return f"tedhd/{speaker}/{number:03d}"


def _person(speaker: str) -> str:
    return f"tedhd {speaker}"
