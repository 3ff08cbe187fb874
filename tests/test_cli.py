import importlib
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import flax.linen as nn
import numpy as np
import pytest

from vast_jax import __version__, cli
from vast_jax.__main__ import COMMANDS
from vast_jax.types import UserError

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Options:
    steps: int = 3
    """how many"""


def test_options_are_typed_and_have_defaults():
    assert cli.parse(Options, [], prog="x") == Options(3)
    assert cli.parse(Options, ["--steps", "5"], prog="x") == Options(5)


@pytest.mark.parametrize(
    ("arguments", "words"), [(["--step", "5"], "--step"), (["--steps", "five"], "five"), (["--steps"], "steps")]
)
def test_bad_options_are_one_line_that_names_them(arguments, words):
    with pytest.raises(UserError, match=words) as caught:
        cli.parse(Options, arguments, prog="x")
    assert "\n" not in str(caught.value) and "│" not in str(caught.value)


@dataclass(frozen=True)
class Words:
    """What is said."""

    speech: str | None = None


@dataclass(frozen=True)
class Output:
    """What is written."""

    out: str = "a.mp4"


@dataclass(frozen=True)
class Grouped(Words, Output):
    """A command."""


def test_a_mistyped_option_is_told_with_the_one_that_was_meant():
    for words, said in (
        (["--stpes", "5"], "unknown option --stpes, did you mean --steps"),
        (["--step-s=5"], "did you mean --steps"),
        (["--nothing-like-it"], "unknown option --nothing-like-it (all"),
        (["--version-"], "did you mean --version"),
        (["five"], "'five' is one word too many"),
    ):
        with pytest.raises(UserError) as caught:
            cli.parse(Options, words, prog="x")
        assert said in str(caught.value) and "x --help" in str(caught.value)


def test_what_is_missing_is_named():
    def command(data: str, workdir: str, steps: int = 3):
        return data, workdir, steps

    with pytest.raises(UserError, match=r"^missing: --data, --workdir "):
        cli.parse(command, [], prog="x")
    with pytest.raises(UserError, match=r"^missing: --workdir "):
        cli.parse(command, ["--data", "d"], prog="x")
    with pytest.raises(UserError, match="unknown option --wrokdir, did you mean --workdir"):
        cli.parse(command, ["--data", "d", "--wrokdir", "w"], prog="x")


def test_dataclasses_that_one_inherits_from_are_groups_of_its_options(capsys):
    assert cli.parse(Grouped, ["--out", "b.mp4"], prog="x") == Grouped(out="b.mp4")
    with pytest.raises(SystemExit) as stop:
        cli.parse(Grouped, ["--help"], prog="x")
    said = capsys.readouterr().out
    assert stop.value.code in (0, None)
    order = [said.rindex(word) for word in ("What is said.", "--speech", "What is written.", "--out")]
    assert order == sorted(order)


def test_every_command_tells_its_version(capsys):
    for script, (module, _) in COMMANDS.items():
        module = importlib.import_module(module)
        module = importlib.import_module(f"{module.__name__}.__main__") if hasattr(module, "__path__") else module
        with pytest.raises(SystemExit) as stop:
            module.main(["--version"])
        assert stop.value.code in (0, None), script
    assert capsys.readouterr().out == f"vast_jax {__version__}\n" * len(COMMANDS)


def test_every_command_has_a_script_and_the_other_way_round():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = {script: module.removesuffix(".__main__") for script, module in project["scripts"].items()}
    assert {script: target.partition(":")[0].removesuffix(".__main__") for script, target in listed.items()} == {
        script: module for script, (module, _) in COMMANDS.items()
    }
    assert not {"version"} & set(project) and project["dynamic"] == ["version"]


@pytest.mark.parametrize(
    ("argv0", "module", "name"),
    [
        ("infer.py", "__main__", "python infer.py"),
        ("/env/bin/vast-hear", "__main__", "vast-hear"),
        ("/x/vast_jax/hear.py", "vast_jax.hear", "python -m vast_jax.hear"),
        ("/x/vast_jax/share/__main__.py", "vast_jax.share.__main__", "python -m vast_jax.share"),
    ],
)
def test_a_command_names_itself_as_it_was_typed(argv0, module, name, monkeypatch):
    main = ModuleType("__main__")
    main.__spec__ = None if module == "__main__" else ModuleSpec(module, None)
    monkeypatch.setitem(sys.modules, "__main__", main)
    monkeypatch.setattr(sys, "argv", [argv0])
    assert cli.typed_name() == name


def test_commands_under_an_earlier_name_name_the_one_of_today():
    for before, now in (
        ("training_benchmark", "training.benchmark"),
        ("face.assessment", "face_models.assessment"),
    ):
        run = subprocess.run(
            [sys.executable, "-m", f"vast_jax.{before}", "--version"],
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=120,
        )
        assert run.returncode == 0 and run.stdout == f"vast_jax {__version__}\n"
        assert run.stderr == f"note    this command is now: python -m vast_jax.{now}\n"


def test_a_user_error_is_one_line_and_exit_code_2(capsys):
    def fail():
        raise UserError("a.wav: empty\nfile")

    with pytest.raises(SystemExit) as stop:
        cli.run(fail)
    assert stop.value.code == 2
    assert capsys.readouterr().err == "error: a.wav: empty file\n"


@pytest.mark.parametrize("weights", [{"kernel": np.zeros((3, 5)), "bias": np.zeros(5)}, {"kernel": np.zeros((3, 4))}])
def test_weights_of_another_shape_are_one_line(weights, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.run(lambda: nn.Dense(4).apply({"params": weights}, np.zeros((1, 3))))
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: weights that do not fit") and said.count("\n") == 1 and "http" not in said


def test_other_errors_are_not_hidden():
    def fail():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cli.run(fail)
