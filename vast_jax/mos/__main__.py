"""python -m vast_jax.mos make --videos NAME=DIR [NAME=DIR ...] --out DIR   or   score DIR/answers*.csv [--out REPORT]

Makes the folder of a viewing test with people, and says what they answered: `vast_jax.mos` has the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from vast_jax import cli
from vast_jax.mos.answers import read_answers
from vast_jax.mos.scores import report, score
from vast_jax.mos.study import KEY, RATERS, read_key, write_study
from vast_jax.types import UserError


@dataclass(frozen=True)
class Make:
    """Makes the folder that raters get, and beside it the key that they must not see."""

    videos: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=DIR [NAME=DIR ...]")]
    """each system's name and its folder of videos; videos of one sentence have the same file name in every folder"""
    out: Path
    """new folder, for for_raters/ and key.json"""
    clips: int | None = None
    """this many sentences, drawn at random; none: all that every system has"""
    seed: int = 0
    """the same seed and videos make the same test"""
    raters: int = RATERS
    """most raters there can be; rater n has order n"""
    practice: Path | None = None
    """a video to try the page and the sound with before the test; not one of the test's"""


@dataclass(frozen=True)
class Score:
    """Says for each system and question what the raters answered, and how sure that is."""

    answers: tyro.conf.Positional[tuple[Path, ...]]
    """the raters' CSV files"""
    key: Path | None = None
    """key.json of the test; none: the one beside the first CSV"""
    out: Path | None = None
    """folder for report.md and report.json; none: only print"""


Command = (
    Annotated[Make, tyro.conf.subcommand("make", prefix_name=False)]
    | Annotated[Score, tyro.conf.subcommand("score", prefix_name=False)]
)


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    cli.run(lambda: run(cli.parse(Command, argv, prog="python -m vast_jax.mos")))


def run(args: Make | Score) -> None:
    """Makes or scores a test. Raises UserError: see `write_study`, `read_key`, `read_answers`."""
    if isinstance(args, Make):
        study = write_study(systems_of(args.videos), args.out, args.clips, args.seed, args.raters, args.practice)
        notes = [*study.notes, f"raters get the folder {study.folder}, numbers from 1 to {args.raters}"]
        print("\n".join([*notes, f"keep from them: {study.key}, which says whose each clip is"]))
        return
    if not args.answers:
        raise UserError("no answers: give the raters' CSV files")
    if missing := [path for path in args.answers if not path.is_file()]:
        raise UserError(f"{missing[0]}: no such file; give the raters' CSV files")
    key = read_key(args.key or args.answers[0].parent / KEY)
    print(report(score(key, *read_answers(args.answers, key)), args.out))


def systems_of(videos: Sequence[str]) -> dict[str, Path]:
    """{name: folder} of words NAME=DIR. UserError: another form, or a name twice."""
    systems = {}
    for word in videos:
        name, sign, folder = word.partition("=")
        if not (name and sign and folder):
            raise UserError(f"--videos {word}: write NAME=DIR, such as ours=runs/ours")
        if name in systems:
            raise UserError(f"--videos: two systems named {name}")
        systems[name] = Path(folder)
    return systems


if __name__ == "__main__":
    main()
