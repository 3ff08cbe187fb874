"""What a training run is told: typed values from a config file, overridden on the command line."""

import dataclasses
import importlib.util
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

import tyro

from vast_jax import cli
from vast_jax.files import atomic_path
from vast_jax.training.hosts import Hosts
from vast_jax.training.part import Part
from vast_jax.types import UserError

P = TypeVar("P", bound=Part)
# Between two starts of one run: what is written when, and what changes the result by rounding alone, as devices do.
MAY_CHANGE = ("steps", "log_every", "eval_every", "save_every", "accumulate", "part.remat")
_ROOT = Path(__file__).resolve().parents[1]
CONFIGS = next((folder for folder in (_ROOT / "configs", _ROOT.parent / "configs") if folder.is_dir()), _ROOT)
"""The configs that come with vast_jax: inside the package as it is installed, beside it in a clone."""
_EARLIER = {"compute": "float32"}  # what runs did that were begun before there was the field


@dataclasses.dataclass(frozen=True)
class Config(Generic[P]):
    """A training run: which part, for how long, and how often to look at it and save it."""

    part: P
    """The part to train, with its own fields."""
    steps: int
    """Number of steps of the whole run."""
    batch_size: int
    """Examples a step, over all devices."""
    seed: int = 0
    """Of the initial weights, the order of the data and all noise."""
    log_every: int = 50
    """Steps between two lines of metrics.jsonl."""
    eval_every: int = 1000
    """Steps between two evaluations; 0 is at the end only."""
    save_every: int = 500
    """Steps between two checkpoints; 0 is at the end only."""
    accumulate: int = 1
    """Pieces of a batch that the networks see one after another: less memory, but on CPUs, for a third more time."""
    compute: Literal["float32", "bfloat16"] = "float32"
    """Type of the products of layers and convolutions; parameters, optimiser, norms and losses are always float32."""

    def __post_init__(self):
        for name in ("steps", "batch_size", "log_every", "eval_every", "save_every", "accumulate"):
            least = 0 if name in ("eval_every", "save_every") else 1
            if getattr(self, name) < least:
                raise UserError(f"{_flag(name)} is {getattr(self, name)}: give {least} or more")


def read_config(source: str | os.PathLike) -> Config:
    """The `config` of a Python file, or of one that comes with vast_jax, by its name, as "style".

    Raises:
        UserError: the file is missing, broken or has none.
    """
    path = Path(source)
    if not path.exists() and (shipped := CONFIGS / path.with_suffix(".py").name).is_file():
        path = shipped  # "style", and "configs/style.py" where there is no clone
    if not path.is_file():
        names = ", ".join(sorted(file.stem for file in CONFIGS.glob("*.py")))
        raise UserError(f"{source}: no such config file; by name there are {names}")
    spec = importlib.util.spec_from_file_location(f"vast_jax_config_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path}: a config is a Python file whose name ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses defined in the file look up their annotations there
    try:
        spec.loader.exec_module(module)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error
    if not isinstance(getattr(module, "config", None), Config):
        raise UserError(f"{path} defines no `config = Config(part=..., steps=..., batch_size=...)`")
    return module.config


@dataclasses.dataclass(frozen=True)
class Command:
    """A training command after parsing."""

    config: Config
    data: Path
    workdir: Path
    init_from: Path | None
    profile: Path | None
    hosts: Hosts


def parse_command(argv: Sequence[str] | None = None, prog: str = "python train.py") -> Command:
    """Reads `CONFIG --data DIR --workdir RUN [--init-from EXPORT] [overrides of fields]`.

    Raises UserError, naming the field, for a field that does not exist or a value that does not fit its type. `--help`
    prints every field with its type and value, and exits.
    """
    if argv is None:
        argv, prog = sys.argv[1:], cli.typed_name()
    usage = f"{prog} CONFIG --data DIR --workdir RUN [--init-from EXPORT] [--steps N --part.field VALUE ...]"
    if not argv or argv[0] in ("-h", "--help"):
        names = ", ".join(sorted(file.stem for file in CONFIGS.glob("*.py")))
        print(f"usage: {usage}\n\nCONFIG is a file, or the name of one that comes with vast_jax: {names}.")
        print(f"{prog} CONFIG --help shows all fields of a config.")
        sys.exit(0 if argv else 2)
    cli.tell_version(argv)
    if argv[0].startswith("-"):
        raise UserError(f"the config comes first: {usage}")
    config, unnamed = read_config(argv[0]), tyro.conf.arg(name="")

    def command(
        data: Path,
        workdir: Path,
        config: Annotated[Config[type(config.part)], unnamed] = config,  # type: ignore[valid-type]  # the file's own
        init_from: Path | None = None,
        profile: Path | None = None,
        hosts: Annotated[Hosts, unnamed] = Hosts(),  # noqa: B008
    ) -> Command:
        """Trains the part of a config. The same command again resumes the run.

        Args:
            data: Folder of prepared data.
            workdir: Folder of the run: checkpoints, metrics.jsonl, eval/ and export/.
            config: The run.
            init_from: Exported weights to start from; without it, what the part begins with, mostly random ones.
            profile: Folder for a trace of three steps, to be opened with TensorBoard or Perfetto.
            hosts: How the processes of one run find each other.
        """
        return Command(config, data, workdir, init_from, profile, hosts)

    return cli.parse(command, argv[1:], prog=f"{prog} {argv[0]}", config=(tyro.conf.AvoidSubcommands,))


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def describe(value: Any) -> Any:
    """A config as JSON values: dataclasses become dicts of their fields, with the name of the class."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: describe(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"class": type(value).__name__, **fields}
    if isinstance(value, Mapping):
        return {str(key): describe(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [describe(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def check_same_run(config: Config, path: Path) -> None:
    """Compares a config with the config.json of a run; UserError naming the first field that may not change."""
    try:
        before = _EARLIER | _flat(json.loads(path.read_text()))
        before = {_now(name, config.part): value for name, value in before.items()}
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}): use a new --workdir") from error
    now = _flat(describe(config))
    for name in [*now, *(name for name in before if name not in now)]:
        if name not in MAY_CHANGE and before.get(name) != now.get(name):
            raise UserError(
                f"the run in {path.parent} has {name} = {before.get(name)}, this command {now.get(name)}: "
                "give the same value to resume it, or another --workdir"
            )


def _now(name: str, part: Part) -> str:
    """Today's name of a field of a run's config.json."""
    place, _, own = name.rpartition(".")
    return f"part.{part.renamed[own]}" if place == "part" and own in part.renamed else name


def write_config(config: Config, path: Path) -> None:
    """Writes a config as JSON, for people and for `check_same_run`."""
    with atomic_path(path) as file:
        file.write_text(json.dumps(describe(config), indent=2) + "\n")


def _flat(tree: Mapping, prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            out |= _flat(value, f"{prefix}{name}.")
        else:
            out[prefix + name] = value
    return out
