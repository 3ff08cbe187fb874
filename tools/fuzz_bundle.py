"""Damages a bundle in many ways, and counts how its readers take that: `verify`, and what other commands load with.

    python tools/fuzz_bundle.py runs/me/export --count 1000 --seed 0

Half of them are sealed anew: card and manifest get the hashes of the damaged files, as somebody who means harm would
do. Such a bundle may be another one that is right by all rules; one that was not sealed anew may not.
"""

import collections
import dataclasses
import hashlib
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from bundle_damage import Files, damaged
from zip_tricks import tricky

from vast_jax import cli
from vast_jax.errors import UserError
from vast_jax.generation import avatar_bundle
from vast_jax.generation.prompt import load_style, save_style
from vast_jax.share.about import about, lines
from vast_jax.share.packing import pack
from vast_jax.share.verifying import Here, load, models_in_use, verify
from vast_jax.weights import archive, exports
from vast_jax.weights.bundle import AVATAR, LARGEST, MANIFEST, PROMPT, Bundle, find
from vast_jax.weights.unpacking import opened

REFUSED, HARMLESS, ANOTHER, WRONG = "refused", "harmless", "another valid one", "wrong"


class Fuzzer:
    """Damages one bundle again and again. `counts` says how often readers did what; `wrong` describes the wrong ones.

    Args:
      source: as `packing.pack` takes it.
      folder: for its files, empty.
    """

    def __init__(self, source: Path, folder: Path, here: Here | None = None):
        self.here = here or models_in_use()
        self.folder, self.trap = folder, folder / "trap"
        source = source if source.suffix != archive.SUFFIX else opened(source, folder / "source")
        whole = folder / "whole"
        pack(source, whole, "fuzz", "fuzz")
        bundle = find(whole)
        self.kind, self.main = bundle.kind, bundle.main.name
        names = [*bundle.files, MANIFEST]
        self.files: Files = {name: (whole / name).read_bytes() for name in names}
        archive.pack(whole, names, folder / "whole.zip")
        self.packed = (folder / "whole.zip").read_bytes()
        self.intact = self._content(bundle)
        self.right = digest(self.intact)
        self.bare: Files = {}
        if self.kind == PROMPT:  # a style file also travels alone, and newer ones have a hash of their own
            save_style(folder / "bare.style", load_style(bundle.main))
            self.bare = {"bare.style": (folder / "bare.style").read_bytes()}
        self.counts: collections.Counter[str] = collections.Counter()
        self.wrong: list[str] = []

    def once(self, seed: int) -> str:
        """Damages, reads, and returns how that ended; the same seed does the same."""
        rng = np.random.default_rng(seed)
        sealed = False
        with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
            where, way = Path(scratch) / "bundle", rng.random()
            if way < 0.3:
                what, content = tricky(rng, self.packed, self.files)
                where = where.with_suffix(archive.SUFFIX)
                where.write_bytes(content)
            else:
                alone = bool(self.bare) and way < 0.55
                what, files = damaged(rng, self.bare if alone else self.files, self.trap)
                sealed = not alone and rng.random() < 0.5
                if sealed:
                    self._seal(files)
                for name, content in files.items():
                    (where / name).parent.mkdir(parents=True, exist_ok=True)
                    (where / name).write_bytes(content)
                where.mkdir(exist_ok=True)
                where = where / "bare.style" if alone else where
            cache = Path(scratch) / "cache"
            readers: dict[str, Callable[[], Any]] = {
                "verify": lambda: verify(where, self.here, LARGEST) and self._content(find(opened(where, cache))),
                "loader": lambda: self._content(find(opened(where, cache))),
                "inspect": lambda: (lines(about(find(opened(where, cache))), "."), self.intact)[1],
            }
            ends = {name: self._end(reader, sealed) for name, reader in readers.items()}
        bad = {name: end for name, end in ends.items() if end not in (REFUSED, HARMLESS, ANOTHER)}
        if self.trap.exists():
            bad["trap"] = "something that was read has run"
            self.trap.unlink()
        end = WRONG if bad else ends["verify"]
        self.counts[end] += 1
        if bad:
            self.wrong.append(f"seed {seed}: {what}{', sealed anew' if sealed else ''}: {bad}")
        return end

    def _end(self, reader: Callable[[], Any], sealed: bool) -> str:
        try:
            found = digest(reader())
        except UserError as error:
            text = " ".join(str(error).split())
            return REFUSED if text.isprintable() else f"{WRONG}: says {text[:80]!r}"
        except Exception as error:  # what a user would see as a traceback
            return f"{WRONG}: {type(error).__name__} {str(error)[:120]}"
        return HARMLESS if found == self.right else ANOTHER if sealed else f"{WRONG}: changed, and taken"

    def _content(self, bundle: Bundle) -> Any:
        """What the other commands load."""
        if bundle.kind != self.kind:
            raise UserError(f"{bundle.main}: another kind of bundle")
        if self.kind == PROMPT:
            return load_style(bundle.main)
        if self.kind == AVATAR:
            actor = avatar_bundle.load_avatar(bundle.folder, self.here.face, self.here.acoustic)
            own = {f.name: getattr(actor, f.name) for f in dataclasses.fields(actor) if f.name != "face_model"}
            return own | {"renderer": repr(actor.renderer)}
        load(bundle, self.here)
        return exports.load(bundle.main)

    def _seal(self, files: Files) -> None:
        """Gives card and manifest the hashes that the files have now; a card that is none any more stays as it is."""
        card = self.main.rpartition(".")[0] + ".json"
        if self.main in files and card in files:
            try:
                told = json.loads(files[card])
                told["sha256"] = hashlib.sha256(files[self.main]).hexdigest()
                files[card] = json.dumps(told).encode()
            except (ValueError, TypeError, RecursionError):
                pass
        manifest = json.loads(self.files[MANIFEST])
        listed = {name: content for name, content in files.items() if name != MANIFEST}
        manifest["files"] = {
            name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in listed.items()
        }
        files[MANIFEST] = json.dumps(manifest).encode()


def fuzz(source: Path, count: int, seed: int = 0, say: Callable[[str], object] = lambda line: None) -> str:
    """Damages a bundle `count` times. Returns the counts in words; UserError, exit code 2, where one is wrong."""
    started, before = time.perf_counter(), _memory()
    with tempfile.TemporaryDirectory() as scratch:
        fuzzer = Fuzzer(source, Path(scratch))
        for i in range(count):
            fuzzer.once(seed * 1_000_003 + i)
            if i % 100 == 99:
                say(f"{i + 1:>6}  {_words(fuzzer.counts)}")
    for line in fuzzer.wrong:
        say(line)
    if fuzzer.wrong:
        raise UserError(f"{source}: {len(fuzzer.wrong)} of {count} damaged bundles were not taken as they should be")
    seconds, grown = time.perf_counter() - started, _memory() - before
    return f"{fuzzer.kind}: {count} damaged, {_words(fuzzer.counts)}; {seconds:.0f} s, {grown:.0f} MB more at most"


def _words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{counts.get(end, 0)} {end}" for end in (REFUSED, HARMLESS, ANOTHER, WRONG))


def _memory() -> float:
    """The most that this process has used, MB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def digest(value: Any) -> str:
    """Of arrays, texts, numbers and what holds them: equal digests are equal contents."""
    hashed = hashlib.sha256()

    def add(value: Any) -> None:
        hashed.update(type(value).__name__.encode())
        if isinstance(value, Mapping):
            for key in sorted(value):
                add(key)
                add(value[key])
        elif isinstance(value, np.ndarray):
            hashed.update(f"{value.dtype}{value.shape}".encode() + np.ascontiguousarray(value).tobytes())
        elif dataclasses.is_dataclass(value):
            add({field.name: getattr(value, field.name) for field in dataclasses.fields(value)})
        elif isinstance(value, str | bytes | int | float | bool | None):
            hashed.update(repr(value).encode())
        else:  # tuples, lists, pictures in a file
            for item in value:
                add(item)

    add(value)
    return hashed.hexdigest()


@dataclasses.dataclass(frozen=True)
class Args:
    """Damages a bundle in many ways, and counts how what reads it takes that."""

    source: tyro.conf.Positional[Path]
    """the folder of an avatar or of exported weights, a .safetensors file with its card, or a .style file"""
    count: int = 1000
    """damaged bundles"""
    seed: int = 0
    """of the damage"""


def main(argv: list[str] | None = None) -> None:
    """The command."""
    cli.run(lambda: print(fuzz(*dataclasses.astuple(cli.parse(Args, argv, prog="tools/fuzz_bundle.py")), print)))


if __name__ == "__main__":
    main()
