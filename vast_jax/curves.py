"""Face curves for other programs: a tracked video or a saved style as CSV (ARKit's names) or glTF.

    python -m vast_jax.curves VIDEO_OR_STYLE --out face.csv|face.glb [--fps 30] [--face largest]

See docs/curves.md for the layout, the axes and the units.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from vast_jax import cli, media
from vast_jax.animation.curves import Curves, frame_rate, resample
from vast_jax.animation.export import save
from vast_jax.face.model import load_face_model
from vast_jax.types import UserError


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
    from vast_jax.generation.prompt import STYLE_SUFFIX, load_style

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
