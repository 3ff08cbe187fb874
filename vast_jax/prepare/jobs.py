"""What is to be prepared, and what became of it."""

import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

from vast_jax.types import Source


@dataclass(frozen=True)
class Job:
    """One video to prepare."""

    source: Source
    name: str
    person: str
    face: str  # which of several faces, see face.following.follow_face
    sound: Path | None  # where the video has none
    face_model: Path | None
    ppg: bool
    acoustic: Path | None
    score: bool  # whether to measure sync and sharpness
    staged: Path  # folder to write the clips to
    pictures: Path  # folder of the overlays to look at
    known: dict[str, str]  # name -> fingerprint of the clips of this video that are prepared already


@dataclass(frozen=True)
class Outcome:
    """What became of a clip, or of a video that gave none: a line of the report."""

    name: str
    source: str
    kept: bool = False
    fresh: bool = False  # prepared now, not in an earlier run
    reason: str = ""  # why it was dropped
    source_frames: int = 0  # of the video at 25 fps
    start: int = 0  # of the clip, in frames of the video
    frames: int = 0  # of the clip: a stretch with the face, without a cut
    tracked: int = 0  # frames of the clip in which the face was seen, and well fitted
    residual: float = 0.0  # pixels of the crop, see tracking_check.residual
    lips_residual: float = 0.0
    yaw: tuple[float, float] = (0.0, 0.0)  # degrees, least and most
    breaks: tuple[str, ...] = ()  # of the video: where it was split, what was left out, and why
    sync_offset: int | None = None  # see data.quality
    sync_confidence: float | None = None
    sharpness: float | None = None
    milliseconds: dict[str, float] = field(default_factory=dict)  # a stage, all frames together
    faults: tuple[str, ...] = ()  # of a clip that was kept

    def describe(self) -> str:
        """For somebody who waits."""
        if not self.kept:
            what = f"dropped: {self.reason}"
        elif not self.fresh:
            what = "prepared already"
        else:
            what = f"{self.tracked} of {self.frames} frames tracked" + "".join(f"; {fault}" for fault in self.faults)
        return f"{self.name}: {what}"

    def line(self) -> dict:
        """What the report says of it."""
        return {key: value for key, value in asdict(self).items() if key not in ("name", "fresh")}

    def record(self) -> dict:
        """For JSON."""
        return asdict(self)

    @classmethod
    def of(cls, record: dict) -> "Outcome":
        """From `record`, read back from JSON."""
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in record.items()})


def say(line: str) -> None:
    """Tells on standard error how preparation goes."""
    print(line, file=sys.stderr, flush=True)
