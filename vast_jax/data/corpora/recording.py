"""What a corpus knows of a recording before it is prepared: which file or part of one, who, and its labels."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from vast_jax.data.splits import in_paper, is_held_out
from vast_jax.media import FPS
from vast_jax.types import Segment, Source, UserError


@dataclass(frozen=True)
class Recording:
    """A file, or a part of one, that becomes a clip. Its labels are for looking at results, never for training."""

    name: str  # of its clip: "grid/s1/bbaf2n"
    source: Source
    person: str
    face: str = ""  # which of several faces, see face.following.follow_face; "": as the user says
    sound: Path | None = None  # where the video has none
    text: str = ""  # what is said
    alignment: Path | None = None  # when each word is
    emotion: str = ""
    level: int = 0  # of the emotion, from 1
    view: str = ""  # of the camera

    @property
    def held_out(self) -> bool:
        """Whether it is for testing only."""
        return is_held_out(self.name)

    @property
    def in_paper(self) -> bool:
        """Whether the paper trains and tests on it."""
        return in_paper(self.name)


@dataclass(frozen=True)
class Listing:
    """What a folder holds of a corpus."""

    recordings: list[Recording]
    left_out: dict[str, str] = field(default_factory=dict)  # name -> why: listed, but not there

    def checked(self, root: Path, corpus: str, layout: str) -> "Listing":
        """This listing, its recordings in order of their names. UserError: it is empty; `layout` is an example."""
        if not root.is_dir():
            raise UserError(f"{root}: no such folder of {corpus}")
        if not self.recordings:
            missing = f" ({len(self.left_out)} are listed, but not there)" if self.left_out else ""
            raise UserError(f"{root}: nothing of {corpus} in there{missing}, such as {layout}: see docs/corpora.md")
        return Listing(sorted(self.recordings, key=lambda recording: recording.name), self.left_out)

    def matching(self, patterns: Sequence[str]) -> "Listing":
        """The part of it whose names fit any of the shell patterns. UserError: none does."""

        def fits(name: str) -> bool:
            return any(fnmatchcase(name, pattern) for pattern in patterns)

        kept = [recording for recording in self.recordings if fits(recording.name)]
        if not kept:
            example = f", such as {self.recordings[0].name}" if self.recordings else ""
            raise UserError(f"no name fits {' or '.join(patterns)} among {len(self.recordings)} recordings{example}")
        return Listing(kept, {name: reason for name, reason in self.left_out.items() if fits(name)})


def segment(path: Path, start: float, stop: float) -> Segment:
    """A part of a video, from the first of the 25 frames a second in it."""
    return Segment(path, -(-start * FPS // 1) / FPS, stop)
