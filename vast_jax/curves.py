"""Face curves for other programs: a tracked video or a saved style as CSV (ARKit's names) or glTF.

    python -m vast_jax.curves VIDEO_OR_STYLE --out face.csv|face.glb [--fps 30] [--face largest]

See docs/curves.md for the layout, the axes and the units.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import tyro

from vast_jax import cli, media
from vast_jax.face.gltf import write_glb
from vast_jax.face.model import FaceModel, load_face_model
from vast_jax.types import UserError

NTSC = Fraction(1000, 1001)  # 29.97 is 30 times this
LOBES = 3  # of the Lanczos kernel on each side: flat up to lip movements of 8 Hz, hardly any alias above 12.5
MAX_FPS = 1000


class Curves(NamedTuple):
    """A moving face, row i at i / fps seconds (N rows, D expression parameters)."""

    expression: np.ndarray  # [N, D] float32
    rotation: np.ndarray  # [N, 3] float32, axis-angle, head to camera, radians, axes of FaceTrack
    translation: np.ndarray  # [N, 3] float32, mm
    gaze: np.ndarray  # [N, 4] float32, yaw and pitch of the left, then of the right eye, radians
    fps: Fraction

    @classmethod
    def of(cls, expression, rotation=None, translation=None, gaze=None, fps: Fraction | int = media.FPS) -> "Curves":
        """Curves whose head rests, or whose eyes look straight ahead, where nothing else is said."""
        count = len(expression)
        given = ((expression, 0), (rotation, 3), (translation, 3), (gaze, 4))
        values = (np.zeros((count, width)) if value is None else value for value, width in given)
        return cls(*(np.asarray(value, np.float32) for value in values), Fraction(fps))


def frame_rate(fps: float | Fraction) -> Fraction:
    """The exact rate that is meant: 29.97 is 30000/1001, 23.976 is 24000/1001. UserError: none that makes sense."""
    if not 0 < fps <= MAX_FPS:
        raise UserError(f"{fps} frames a second: a frame rate lies between 0 and {MAX_FPS}")
    for exact in (Fraction(round(fps)), Fraction(ceil(fps)) * NTSC):
        if exact and abs(fps / exact - 1) < 2e-4:
            return exact
    return Fraction(fps).limit_denominator(1000)


def resample(curves: Curves, fps: float | Fraction) -> Curves:
    """The same movement at another rate; its duration N / fps is kept to half a frame.

    Lanczos interpolation, which is a low-pass filter too when the rate falls. Ends are held, activations stay within
    [0, 1], or [-1, 1] where a curve has two signs, and at an unchanged rate every row comes back as it was.
    """
    rate = frame_rate(fps)
    if rate == curves.fps:
        return curves
    count = max(1, round(len(curves.expression) * rate / curves.fps))
    low = -1.0 * (curves.expression.min(0) < 0)
    expression, *pose = (_resample(values, float(curves.fps / rate), count) for values in curves[:4])
    return Curves(np.clip(expression, low.astype(np.float32), 1), *pose, rate)


def _resample(values: np.ndarray, step: float, count: int) -> np.ndarray:
    """Values [N, C] at the rows 0, step, 2 step, ...: [count, C]."""
    position, width = np.arange(count) * step, max(1.0, step)  # rows of the input: the wider, the lower the pass
    first = np.floor(position).astype(int) - ceil(LOBES * width) + 1
    total, result = np.zeros(count), np.zeros((count, values.shape[1]))
    for tap in range(2 * ceil(LOBES * width)):
        offset = (position - first - tap) / width
        weight = np.where(np.abs(offset) < LOBES, np.sinc(offset) * np.sinc(offset / LOBES), 0)
        total += weight
        result += weight[:, None] * values[np.clip(first + tap, 0, len(values) - 1)]
    return (result / total[:, None]).astype(np.float32)


def fit_length(curves: Curves, count: int) -> Curves:
    """The first `count` rows; the last one is held where there are fewer."""
    at = np.minimum(np.arange(count), len(curves.expression) - 1)
    return Curves(*(values[at] for values in curves[:4]), curves.fps)


def save(
    path: Path,
    model: FaceModel,
    curves: Curves,
    identity: np.ndarray | None = None,
    arkit_only: bool = False,
    generated: bool = False,
) -> None:
    """Writes CSV or, where the name ends so, a glTF file; `identity` [I] shapes the latter's head, None: the mean."""
    from vast_jax.curves_csv import write_csv  # which needs the names above

    if path.suffix.lower() == ".csv":
        write_csv(path, model, curves, arkit_only)
        return
    identity = np.zeros(len(model.identity_basis), np.float32) if identity is None else identity
    write_glb(path, model, identity, *curves[:4], fps=float(curves.fps), notes=media.AI_GENERATED if generated else {})


@dataclass(frozen=True)
class Args:
    """Writes the face of a video, or of a saved style, as curves with ARKit's names or as an animated head."""

    source: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="VIDEO_OR_STYLE")]
    """a video of a face, or a saved .style file"""
    out: Path
    """the file to write: .csv (as Live Link Face writes it) or .glb (glTF)"""
    fps: float = 30.0
    """rows a second: 24, 25, 29.97, 30, 60, 120, ..."""
    face: str = "largest"
    """which face to follow in a video with several"""
    arkit_only: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """CSV without our own further columns, for programs that insist on Live Link Face's 63"""
    force: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """overwrite the output"""


def export(args: Args) -> None:
    """Tracks and writes. UserError for bad input, before anything is written."""
    from vast_jax.face.tracking import track_video  # MediaPipe and JAX are slow to import
    from vast_jax.prompt import STYLE_SUFFIX, load_style

    cli.check_output(args.out, (".csv", ".glb"), args.force)
    rate, model, identity = frame_rate(args.fps), load_face_model(), None
    if args.source.suffix == STYLE_SUFFIX:
        style = load_style(args.source)
        if style.face_model != model.hash:
            raise UserError(f"{args.source}: made with another face model; make it again from the video")
        curves = Curves.of(style.expression)
    else:
        track, crops = track_video(args.source, model, face=args.face)
        if crops.start:
            print(f"note    the face is followed from {crops.start / media.FPS:.2f} s of the video on: row 0 is there")
        identity, middle = track.identity, track.translation.mean(0)  # the head rests at the origin, not before a lens
        curves = Curves.of(track.expression, track.rotation, track.translation - middle, track.gaze)
    resampled = resample(curves, rate)
    save(args.out, model, resampled, identity, args.arkit_only)
    size, count = args.out.stat().st_size / 1e6, len(resampled.expression)
    print(f"wrote   {args.out}: {count} rows at {float(rate):g} a second, {count / float(rate):.2f} s, {size:.1f} MB")


def main(argv: list[str] | None = None) -> None:
    """The command."""
    cli.run(lambda: export(cli.parse(Args, argv, prog="python -m vast_jax.curves")))


if __name__ == "__main__":
    main()
