from dataclasses import dataclass

import flax.linen as nn
import numpy as np
import pytest

from vast_jax import cli
from vast_jax.types import UserError


@dataclass(frozen=True)
class Options:
    steps: int = 3
    """how many"""


def test_options_are_typed_and_have_defaults():
    assert cli.parse(Options, [], prog="x") == Options(3)
    assert cli.parse(Options, ["--steps", "5"], prog="x") == Options(5)
    assert cli.parse(Options, [], prog="x", default=Options(7)) == Options(7)


@pytest.mark.parametrize(
    ("arguments", "words"), [(["--step", "5"], "--step"), (["--steps", "five"], "five"), (["--steps"], "steps")]
)
def test_bad_options_are_one_line_that_names_them(arguments, words):
    with pytest.raises(UserError, match=words) as caught:
        cli.parse(Options, arguments, prog="x")
    assert "\n" not in str(caught.value) and "│" not in str(caught.value)


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
