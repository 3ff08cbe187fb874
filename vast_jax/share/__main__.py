"""python -m vast_jax.share pack|inspect|verify|fetch ... : share avatars, weights and styles (docs/sharing.md)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from vast_jax import cli
from vast_jax.files import sha256
from vast_jax.share.about import about, lines
from vast_jax.share.fetching import fetch
from vast_jax.share.packing import pack
from vast_jax.weights.bundle import AVATAR, LARGEST, find
from vast_jax.weights.unpacking import looked_into

MIB = 1 << 20


@dataclass(frozen=True)
class Pack:
    """Makes a bundle of an export or a style file: with a model card, and the hash of every file."""

    source: tyro.conf.Positional[Path]
    """the folder of an avatar or of exported weights, a .safetensors file with its card, or a .style file"""
    out: Path
    """a new folder, or a file that ends in .zip"""
    licence: str | None = None
    """on what terms it may be used; needed where its card does not say"""
    consent: str | None = None
    """that the person an avatar shows agreed, and to what; needed where its card does not say"""
    author: str | None = None
    """who made it"""


@dataclass(frozen=True)
class Inspect:
    """Says in a few lines what a bundle is, by whom, what fits it and how to use it."""

    source: tyro.conf.Positional[Path]
    """a bundle, packed or a folder, exported weights, or a .style file"""


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What a bundle is checked against."""

    face_model: Path | None = None
    """face model that it must fit; none: the shipped one"""
    acoustic_model: str | None = None
    """folder of the acoustic weights that it must fit; none: the shipped ones"""
    largest: int = LARGEST // MIB
    """MiB that it may have"""

    def verifier(self) -> Callable[[Path], list[str]]:
        """`verifying.verify` with these models, loaded now: what is wrong with them is said before a download."""
        from vast_jax.share.verifying import models_in_use, verify  # with JAX: the other commands start at once

        here = models_in_use(self.face_model, self.acoustic_model)
        return lambda source: verify(source, here, self.largest * MIB)


@dataclass(frozen=True)
class Verify(Checked):
    """Checks a bundle: hashes, layout, shapes, sizes, and that it fits the models in use."""

    source: tyro.conf.Positional[Path]
    """a bundle, packed or a folder, exported weights, or a .style file"""


@dataclass(frozen=True)
class Fetch(Checked):
    """Brings a bundle to a new folder, verified before it has its name."""

    source: tyro.conf.Positional[str]
    """a path, an https:, http: or file: URL, or hf://OWNER/NAME[@REVISION] of Hugging Face"""
    out: Path
    """a new folder"""
    sha256: str | None = None
    """SHA-256 that the file (of several: their manifest.json) must have, as `pack` printed it"""


Command = (
    Annotated[Pack, tyro.conf.subcommand("pack", prefix_name=False)]
    | Annotated[Inspect, tyro.conf.subcommand("inspect", prefix_name=False)]
    | Annotated[Verify, tyro.conf.subcommand("verify", prefix_name=False)]
    | Annotated[Fetch, tyro.conf.subcommand("fetch", prefix_name=False)]
)


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    cli.run(lambda: run(cli.parse(Command, argv, prog="python -m vast_jax.share")))


def run(args: Pack | Inspect | Verify | Fetch) -> None:
    """Does what the command says."""
    match args:
        case Pack():
            hashed = pack(args.source, args.out, args.licence, args.consent, args.author)
            print("\n".join(_told(args.out)))
            print(f"sha256  {sha256(hashed)} of {hashed.name}")
        case Inspect():
            print("\n".join(_told(args.source)))
        case Verify():
            print("\n".join(f"ok      {said}" for said in args.verifier()(args.source)))
        case Fetch():
            fetch(args.source, args.out, args.verifier(), args.sha256, args.largest * MIB)
            print("\n".join(_told(args.out)))


def _told(source: Path) -> list[str]:
    with looked_into(source) as folder:
        bundle = find(folder)
        here = source.parent if bundle.kind == AVATAR and source == bundle.main else source
        return lines(about(bundle), str(here))


if __name__ == "__main__":
    main()
