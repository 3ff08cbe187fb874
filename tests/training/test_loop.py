import dataclasses
import errno
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from toy_part import ToyPart, config, lines

from vast_jax.training.checkpoints import Position
from vast_jax.training.config import parse_command
from vast_jax.training.loop import fit, main
from vast_jax.training.step import init_state, train_step
from vast_jax.types import UserError
from vast_jax.weights import exports

ROOT = Path(__file__).resolve().parents[2]
TOY = str(ROOT / "tests" / "toy_part.py")


def leaves(state):
    def raw(x):
        return jax.random.key_data(x) if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x

    return [np.asarray(raw(x)) for x in jax.tree.leaves(state)]


def assert_same(a, b):
    for x, y in zip(leaves(a), leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing interrupted."""
    workdir = tmp_path_factory.mktemp("whole")
    return fit(config, workdir, workdir / "run"), workdir / "run"


def toy_step():
    part = config.part.players(config.part.constants(None))
    batch = {"x": np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)}
    step = functools.partial(train_step, part, config.part.optimisers(config.steps), config.steps)
    return step, init_state(config, part, batch), batch


def test_train_step_golden():
    step, state, batch = toy_step()
    step = jax.jit(step)
    for _ in range(3):
        state, metrics = step(state, batch)
    assert int(state.step) == 3
    assert float(metrics["line/progress"]) == pytest.approx(2 / 12)
    golden = {"line/loss": 11.256887, "line/gradient_norm": 7.0919304, "follower/loss": 0.08713669}
    for name, value in golden.items():
        assert float(metrics[name]) == pytest.approx(value, rel=1e-5), name


def test_jit_equals_no_jit():
    step, state, batch = toy_step()
    jitted, metrics = jax.jit(step)(state, batch)
    plain, expected = step(state, batch)
    for a, b in zip(leaves((jitted, metrics)), leaves((plain, expected)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_a_later_player_sees_the_updated_earlier_one():
    step, state, batch = toy_step()
    after, metrics = step(state, batch)
    own, new_line = state.params["follower"]["w"], after.params["line"]["w"]
    np.testing.assert_allclose(metrics["follower/loss"], np.sum((own - new_line) ** 2), rtol=1e-5)
    # sgd(0.25) on the squared distance goes half the way to where the line is now
    np.testing.assert_allclose(after.params["follower"]["w"], own + 0.5 * (new_line - own), rtol=1e-5)


def test_fit_writes_what_a_person_looks_for(whole):
    state, run = whole
    assert int(state.step) == config.steps
    written = lines(run)
    assert [line["step"] for line in written if "line/loss" in line] == [3, 6, 9, 12]
    assert [line["step"] for line in written if "eval/distance" in line] == [0, 6, 12]
    assert sorted(p.name for p in (run / "checkpoints").iterdir()) == ["12", "8"]
    assert (run / "eval" / "step_000012" / "weights.png").is_file()
    params, card = exports.load(run / "export")
    np.testing.assert_array_equal(params["line"]["w"], state.params["line"]["w"])
    assert card["figures"]["distance"] == pytest.approx(written[-1]["eval/distance"])
    assert not [p for p in run.rglob(".*")]


@dataclasses.dataclass(frozen=True)
class Stumbling(ToyPart):
    """Calls what `trip` holds at one step's evaluation or, under a negative step, its save."""

    def report(self, params, constants, data_dir, out_dir, step):
        trip.pop(step, lambda: None)()
        return super().report(params, constants, data_dir, out_dir, step)

    def export(self, params, constants, directory, data_dir, figures):
        trip.pop("export", lambda: None)()
        super().export(params, constants, directory, data_dir, figures)


trip = {}


def fail():
    raise RuntimeError("power cut")


@pytest.mark.parametrize("where", [6, "export"])
def test_resume_equals_uninterrupted(whole, tmp_path, where):
    # at the evaluation of step 6, two steps after a save; and inside the first save
    stumbling = dataclasses.replace(config, part=Stumbling())
    trip[where] = fail
    with pytest.raises(RuntimeError):
        fit(stumbling, tmp_path, tmp_path / "run")
    assert_same(fit(stumbling, tmp_path, tmp_path / "run"), whole[0])

    def steps(run):
        return [(line["step"], line.get("line/loss"), line.get("eval/distance")) for line in lines(run)]

    assert [s[0] for s in steps(tmp_path / "run")] == [s[0] for s in steps(whole[1])]
    assert steps(tmp_path / "run")[-1] == steps(whole[1])[-1]


def test_sigterm_saves_and_the_same_command_goes_on(whole, tmp_path, capsys):
    stumbling = dataclasses.replace(config, part=Stumbling())
    trip[6] = lambda: os.kill(os.getpid(), signal.SIGTERM)
    stopped = fit(stumbling, tmp_path, tmp_path / "run")
    assert int(stopped.step) == 7
    assert "run the same command again" in capsys.readouterr().err
    assert_same(fit(stumbling, tmp_path, tmp_path / "run"), whole[0])


def test_more_steps_go_on_from_the_end(whole, tmp_path):
    shutil.copytree(whole[1], tmp_path / "run")
    assert_same(fit(config, tmp_path, tmp_path / "run"), whole[0])  # nothing left to do
    longer = fit(dataclasses.replace(config, steps=14, eval_every=0), tmp_path, tmp_path / "run")
    assert int(longer.step) == 14


def test_another_config_is_refused(whole, tmp_path):
    with pytest.raises(UserError, match=r"part\.width = 3, this command 4"):
        fit(dataclasses.replace(config, part=ToyPart(width=4)), tmp_path, whole[1])


def test_starts_from_exported_weights(whole, tmp_path):
    short = dataclasses.replace(config, steps=1, part=ToyPart(learning_rate=0.0))
    state = fit(short, tmp_path, tmp_path / "run", init_from=whole[1] / "export")
    np.testing.assert_array_equal(state.params["line"]["w"], whole[0].params["line"]["w"])
    wider = dataclasses.replace(short, part=ToyPart(width=5))
    with pytest.raises(UserError, match="do not fit the model"):
        fit(wider, tmp_path, tmp_path / "other", init_from=whole[1] / "export")


class OfData(ToyPart):
    constants_of_data = True

    def constants(self, data_dir):
        return {"slope": np.full(self.width, 7, np.float32)}

    def preflight(self, data_dir, out_dir):
        return ["looked", f"at {data_dir.name}"]


def test_constants_of_the_data_do_not_come_with_anothers_weights(whole, tmp_path, capsys):
    short = dataclasses.replace(config, steps=1)
    for part, slope in ((ToyPart(), [1, 2, 3]), (OfData(), [7, 7, 7])):
        run = tmp_path / type(part).__name__
        fit(dataclasses.replace(short, part=part), tmp_path, run, init_from=whole[1] / "export")
        with np.load(run / "constants.npz") as constants:
            np.testing.assert_array_equal(constants["slope"], slope)
    assert f"looked\nat {tmp_path.name}\n" in capsys.readouterr().out
    fit(dataclasses.replace(short, part=part, steps=2), tmp_path, run)
    assert "looked" not in capsys.readouterr().out  # before a run's first step alone


def test_not_finite_stops_and_names_the_last_good_checkpoint(tmp_path):
    part = ToyPart(learning_rate=1e30)
    with pytest.raises(UserError, match="last good checkpoint: none yet"):
        fit(dataclasses.replace(config, part=part), tmp_path, tmp_path / "run")
    assert not list((tmp_path / "run" / "checkpoints").iterdir())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([TOY, "--part.widht", "4"], "unknown option --part.widht, did you mean --part.width?"),
        ([TOY, "--part.width", "x"], "--part.width"),
        ([TOY, "--steps"], "--steps"),
        ([TOY, "--steps", "0"], "--steps is 0"),
        ([TOY, "--batch-size"], "--batch-size"),
        ([TOY.replace("toy_part", "absent")], "absent.py: no such config file"),
        ([TOY.replace("toy_part", "conftest")], "defines no `config"),
    ],
)
def test_bad_command_is_one_line(tmp_path, capsys, arguments, said):
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--data", str(tmp_path), "--workdir", str(tmp_path / "run")])
    assert stop.value.code == 2
    message = capsys.readouterr().err
    assert said in message and message.count("\n") == 1 and len(message) < 250
    assert not (tmp_path / "run").exists()


def test_missing_folders_are_named(tmp_path):
    with pytest.raises(UserError, match=r"^missing: --workdir"):
        parse_command([TOY, "--data", "d"])
    with pytest.raises(UserError, match="no such folder of prepared data"):
        fit(config, tmp_path / "absent", tmp_path / "run")


def test_overrides_are_typed(tmp_path):
    given = parse_command([TOY, "--data", "d", "--workdir", "w", "--part.width", "7", "--steps=3"])
    assert (given.config.part.width, given.config.steps, given.data) == (7, 3, Path("d"))
    assert given.config.part.noise == config.part.noise


def test_batch_must_divide_over_the_devices(tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 8)
    with pytest.raises(UserError, match="--batch-size 4 does not divide over 8 devices"):
        fit(config, tmp_path, tmp_path / "run")


def command(workdir, *more):
    return [
        sys.executable,
        str(ROOT / "train.py"),
        TOY,
        "--data",
        str(workdir),
        "--workdir",
        str(workdir / "run"),
        *more,
    ]


def environment(**more):
    return {**os.environ, "JAX_PLATFORMS": "cpu", **more}


def newest(workdir):
    done = (workdir / "run" / "checkpoints").glob("*/_CHECKPOINT_METADATA")
    return max((int(p.parent.name) for p in done if p.parent.name.isdecimal()), default=0)


@pytest.mark.slow
def test_killed_and_started_again(tmp_path):
    start = command(tmp_path, "--steps", "150", "--save-every", "10", "--eval-every", "0")
    process = subprocess.Popen(start, env=environment(), stderr=subprocess.DEVNULL)
    while newest(tmp_path) < 30:
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 0 < newest(tmp_path) < 150
    subprocess.run(start, env=environment(), check=True, timeout=400)
    straight = dataclasses.replace(config, steps=150, save_every=0, eval_every=0)
    expected = fit(straight, tmp_path, tmp_path / "straight").params
    params, _ = exports.load(tmp_path / "run" / "export")
    for player in expected:
        np.testing.assert_array_equal(params[player]["w"], expected[player]["w"])


@pytest.mark.slow
def test_two_devices_equal_one(whole, tmp_path):
    flags = environment(XLA_FLAGS="--xla_force_host_platform_device_count=2")
    subprocess.run(command(tmp_path), env=flags, check=True, timeout=400)
    params, _ = exports.load(tmp_path / "run" / "export")
    for player in whole[0].params:
        np.testing.assert_allclose(params[player]["w"], whole[0].params[player]["w"], rtol=1e-4)


def test_a_full_disk_in_a_save_is_one_line_and_leaves_the_last_checkpoint(whole, tmp_path, capfd, monkeypatch):
    async def full(self, directory):
        async def write():  # in the thread that Orbax writes in
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        return write()

    fit(dataclasses.replace(config, steps=4), tmp_path, tmp_path / "run")
    monkeypatch.setattr(Position, "save", full)
    with pytest.raises(UserError, match=r"cannot be written .*No space left.*last good checkpoint: \S+/checkpoints/4$"):
        fit(config, tmp_path, tmp_path / "run")
    assert "Traceback" not in capfd.readouterr().err
    monkeypatch.undo()
    half = shutil.ignore_patterns("*.orbax-checkpoint-tmp")  # which threads of this process may still be writing
    shutil.copytree(tmp_path / "run", tmp_path / "later", ignore=half)
    assert_same(fit(config, tmp_path, tmp_path / "later"), whole[0])


def test_what_changes_rounding_alone_may_change_between_starts(whole, tmp_path):
    fit(dataclasses.replace(config, steps=4), tmp_path, tmp_path / "run")
    state = fit(dataclasses.replace(config, accumulate=2), tmp_path, tmp_path / "run")
    for player in whole[0].params:
        np.testing.assert_allclose(state.params[player]["w"], whole[0].params[player]["w"], rtol=1e-4)
    with pytest.raises(UserError, match="compute = float32, this command bfloat16"):
        fit(dataclasses.replace(config, compute="bfloat16"), tmp_path, tmp_path / "run")
    settings = json.loads((tmp_path / "run" / "config.json").read_text())
    del settings["compute"], settings["accumulate"]  # as a run was begun before there were these
    (tmp_path / "run" / "config.json").write_text(json.dumps(settings))
    assert int(fit(dataclasses.replace(config, steps=13), tmp_path, tmp_path / "run").step) == 13


def test_a_trace_of_a_few_steps(tmp_path):
    fit(dataclasses.replace(config, eval_every=0), tmp_path, tmp_path / "run", profile=tmp_path / "trace")
    assert list((tmp_path / "trace").rglob("*.xplane.pb"))
