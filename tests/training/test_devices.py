"""One training in several ways: on devices, in processes and in parts, and resumed elsewhere."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import agreement
import numpy as np
import pytest
from toy_part import config

from vast_jax.training import checkpoints
from vast_jax.training.loop import fit
from vast_jax.weights import exports

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module", params=["toy", "style"])
def case(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    return request.param, folder, agreement.run(request.param, "one device", folder)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["two processes", "two parts on two devices"])
def test_the_same_training(case, way):
    """Dropout, the style's noise and the changes to examples included."""
    name, folder, alone = case
    apart = agreement.distances(agreement.run(name, way, folder), alone)
    assert apart["gradient"] < 1e-5 and apart["loss"] < 1e-4 and apart["parameter"] < 1e-4


@pytest.mark.slow
def test_a_signal_to_one_process_stops_all_and_one_alone_goes_on(tmp_path):
    fields = ["--data", str(tmp_path), "--workdir", str(tmp_path / "run"), "--steps", "400", "--eval-every", "0"]
    command = [sys.executable, str(ROOT / "train.py"), str(ROOT / "tests" / "toy_part.py"), *fields]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    met = ["--coordinator", f"127.0.0.1:{agreement.free_port()}", "--processes", "2", "--process"]
    pipes = dict(env=environment, stderr=subprocess.PIPE, text=True)
    both = [subprocess.Popen([*command, *met, str(i)], **pipes) for i in (0, 1)]
    while not isinstance(checkpoints.newest(tmp_path / "run" / "checkpoints"), Path):
        assert both[0].poll() is None and both[1].poll() is None
        time.sleep(0.05)
    both[1].send_signal(signal.SIGTERM)
    said = [process.communicate(timeout=300)[1] for process in both]
    assert [process.returncode for process in both] == [130, 130], said
    assert "stopped and saved at step" in said[0] and "step" not in said[1]
    stopped = int(checkpoints.newest(tmp_path / "run" / "checkpoints").name)
    assert 4 <= stopped < 400
    subprocess.run(command, env=environment, check=True, timeout=300)
    params, _ = exports.load(tmp_path / "run" / "export")
    whole = fit(dataclasses.replace(config, steps=400, eval_every=0, save_every=0), tmp_path, tmp_path / "whole").params
    for player in whole:
        np.testing.assert_allclose(params[player]["w"], whole[player]["w"], rtol=1e-4)
