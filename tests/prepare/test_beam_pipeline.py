import json
import sys

import pytest
from data.test_builders import assert_same

from prepare.test_prepare import tracker, video  # noqa: F401, fixtures: a tracker that sees a face in every video
from vast_jax.data.pipeline import open_clips
from vast_jax.prepare.__main__ import Args, parse, prepare
from vast_jax.types import UserError

IN_THIS_PROCESS = ("--runner=FnApiRunner", "--direct_running_mode=in_memory")


def run(out, *videos, beam=IN_THIS_PROCESS, **options):
    prepare(Args(out=out, videos=videos, workers=1, beam=beam, **options))
    return out


def lines(out) -> dict:
    clips = json.loads((out / "report.json").read_text())["clips"]
    return {name: {key: value for key, value in line.items() if key != "milliseconds"} for name, line in clips.items()}


def test_beam_makes_what_the_plain_path_makes(tmp_path, tracker, video):  # noqa: F811
    pytest.importorskip("apache_beam")
    for name in ("s1/bbaf2n", "s1/bbaz7a", "s2/cuts", "s2/nobody", "s2/mute"):
        video(name, frames=30, sound="mute" not in name)
    plain, beam = run(tmp_path / "plain", tmp_path / "grid", beam=None), run(tmp_path / "beam", tmp_path / "grid")
    assert lines(plain) == lines(beam) and "no face" in lines(beam)["grid/s2/nobody"]["reason"]
    for split in ("train", "held_out"):
        one, other = open_clips(plain, split), open_clips(beam, split)
        assert one.names == other.names
        for mine, yours in zip(one, other, strict=True):
            assert_same(mine, yours)
    assert not (beam / ".staging").exists()


def test_what_a_killed_run_has_finished_is_not_made_again(tmp_path, tracker, video, monkeypatch):  # noqa: F811
    pytest.importorskip("apache_beam")
    from vast_jax.prepare import beam_pipeline

    first, second = video("s1/one"), video("s2/two")
    with monkeypatch.context() as patch, pytest.raises(UserError, match=r"Beam stopped .* run again"):
        patch.setattr(beam_pipeline, "add_staged", lambda out, folder: 1 / 0)  # before anything is stored
        run(tmp_path / "out", first, second)
    assert sorted(tracker) == ["one", "two"]
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr("vast_jax.prepare.__main__.write_report", lambda out, outcomes: 1 / 0)  # all stored, not yet told
        run(tmp_path / "out", first, second)
    out = run(tmp_path / "out", first, second)
    assert sorted(tracker) == ["one", "two"] and open_clips(out).names == ["grid/s1/one", "grid/s2/two"]
    assert {line["frames"] for line in lines(out).values()} == {12} and not (out / ".staging").exists()


def test_flags_after_beam_are_the_runners(tmp_path):
    options = parse(["v.mp4", "--out", "d", "--beam", "--runner=FlinkRunner", "--parallelism", "8"])
    assert options.beam == ("--runner=FlinkRunner", "--parallelism", "8") and str(options.videos[0]) == "v.mp4"
    assert parse(["v.mp4", "--out", "d", "--beam"]).beam == () and parse(["v.mp4", "--out", "d"]).beam is None


def test_without_beam(tmp_path, tracker, video, monkeypatch):  # noqa: F811
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(UserError, match=r"vast_jax\[beam\]"):
        run(tmp_path / "out", video("s1/one"), beam=())
