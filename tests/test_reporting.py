import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vast_jax.reporting import Progress, Scalars, duration, image_grid, plot_curves, save_png


def test_scalars_resume_without_duplicates(tmp_path):
    path = tmp_path / "run" / "metrics.jsonl"
    scalars = Scalars(path)
    for step in (1, 2, 3, 4):
        scalars.add(step, {"loss": float(step)})
        if step % 2 == 0:
            scalars.write(step)
    scalars.write(4, {"eval/x": float("nan")})
    with open(path, "a") as file:
        file.write('{"step": 2, "lo')  # cut off by a kill
    lines = [json.loads(line) for line in path.read_text().splitlines()[:3]]
    assert [line.get("loss") for line in lines] == [1.5, 3.5, None]
    assert lines[2] == {"step": 4, "eval/x": None}
    Scalars(path, keep_until=3).write(4, {"loss": 9.0})
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [2, 4]
    Scalars(path)
    assert path.read_text() == ""


def test_progress_lines():
    stream = io.StringIO()
    with Progress(10, 13, stream, interval=0) as progress:
        for step in (11, 12, 13):
            progress.update(step, {"vae/loss": 0.5, "vae/kl": 1.0})
        progress.say("saved")
    lines = stream.getvalue().splitlines()
    assert len(lines) == 4 and lines[-1] == "saved"
    assert lines[1].startswith("step 12/13") and "steps/s" in lines[1] and "left" in lines[1]
    assert "vae/loss 0.5" in lines[1] and "kl" not in lines[1]


def test_progress_is_quiet_between(tmp_path):
    stream = io.StringIO()
    with Progress(0, 100, stream, interval=1000) as progress:
        for step in range(1, 101):
            progress.update(step)
    assert len(stream.getvalue().splitlines()) == 2  # the first and the last


@pytest.mark.parametrize(("seconds", "words"), [(5, "5 s"), (600, "10 min"), (11100, "3 h 05 min")])
def test_duration(seconds, words):
    assert duration(seconds) == words


def test_image_grid_places_every_pixel(tmp_path):
    red = np.broadcast_to(np.uint8([255, 0, 0]), (4, 6, 3))
    grey = np.full((5, 3), 7, np.uint8)
    grid = image_grid([[red, grey], [grey]], gap=1)
    assert grid.shape == (5 + 1 + 5, 6 + 1 + 3, 3)
    np.testing.assert_array_equal(grid[:4, :6], red)
    assert (grid[:5, 7:] == 7).all() and (grid[6:, :3] == 7).all()
    assert (grid[4, :6] == 255).all() and (grid[6:, 7:] == 255).all()
    save_png(tmp_path / "a" / "grid.png", grid)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a" / "grid.png")), grid)
    with pytest.raises(TypeError):
        image_grid([[grey.astype(np.float32)]])


def inked(path: Path, colour: tuple[int, int, int]) -> np.ndarray:
    """Which pixels of a plot have one of matplotlib's line colours, or nearly."""
    picture = np.asarray(Image.open(path).convert("RGB")).astype(int)
    return np.abs(picture - colour).max(-1) < 40


def test_plot_curves_draws_what_it_is_given(tmp_path):
    plot_curves(tmp_path / "one.png", {"a": np.arange(50) / 5, "b": np.full(50, 5.0)}, x_scale=1 / 25)
    plot_curves(tmp_path / "two.png", {"p": {"a": np.arange(50.0)}, "q": {"b": np.ones(5), "c": np.zeros(9)}})
    rising, level = (inked(tmp_path / "one.png", colour) for colour in ((31, 119, 180), (255, 127, 14)))
    rows, columns = np.nonzero(rising[:, :800])  # the legend is at the upper right
    assert np.corrcoef(rows, columns)[0, 1] < -0.99  # a straight line upwards
    assert np.ptp(np.nonzero(level[:, :800])[0]) <= 3 and np.ptp(np.nonzero(level[:, :800])[1]) > 600
    above, below = np.split(inked(tmp_path / "two.png", (31, 119, 180))[:, :800], 2)
    assert np.ptp(np.nonzero(above)[0]) > 100 and 0 < np.ptp(np.nonzero(below)[0]) <= 3  # a panel under the other
