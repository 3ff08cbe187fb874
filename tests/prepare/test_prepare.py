import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from vast_jax import media
from vast_jax.data import builders
from vast_jax.data.names import clip_name, find_videos, person_of, video_of
from vast_jax.data.pipeline import open_clips
from vast_jax.data.splits import is_held_out
from vast_jax.prepare import __main__ as command
from vast_jax.prepare import footage
from vast_jax.prepare.__main__ import Args, prepare
from vast_jax.prepare.quality import Quality
from vast_jax.prepare.tracking_check import Residual
from vast_jax.types import FaceTrack, UserError

FRAMES = 12
HELD_OUT, TRAINING = "bbaz7a", "bbaf2n"  # of GRID's s1


class Acoustic:
    """Posteriors that tell how loud a frame is."""

    def __init__(self, name: str):
        self.hash = name

    def __call__(self, signal: np.ndarray, frames: int) -> np.ndarray:
        assert signal.shape == (640 * frames,) and signal.dtype == np.float32
        return np.tile(np.abs(signal).reshape(frames, 640).mean(1, keepdims=True), (1, 41))


def load_acoustic(path: Path | None) -> Acoustic:
    if path is not None and path.name == "missing":
        raise UserError(f"no weights in {path}")
    return Acoustic("first" if path is None else path.name)


def load_face_model(path: Path | None) -> SimpleNamespace:
    if path is not None and path.name == "missing":
        raise UserError(f"{path} is not a readable face model")
    none = np.zeros(0)
    places = dict.fromkeys(("landmark_triangles", "landmark_weights", "landmark_offset"), none)
    return SimpleNamespace(hash="head" if path is None else path.name, detector_bias=None, rest=None, **places)


def residual_of(model, track):
    return Residual(np.full(len(track.valid), 0.5), np.full(len(track.valid), 0.4))


class Crops(list):
    start = 0


class Stretches(list):
    breaks = ()
    source_frames = 0


@pytest.fixture
def tracker(monkeypatch):
    """Every video shows a face, unless its name says otherwise; returns the names of those tracked.

    "cuts" and HELD_OUT have a part for every twelve frames.
    """
    tracked = []

    def track_all(path, model, landmarker=None, face="largest"):
        stem = media.file_of(path).stem
        tracked.append(stem)
        if "nobody" in stem:
            raise UserError(f"no face in {path}")
        if "odd" in stem:
            raise ZeroDivisionError("a bug")
        frames = list(media.read_frames(path))
        size = FRAMES if stem in ("cuts", HELD_OUT) else len(frames)
        starts = range(0, len(frames), size)
        found = Stretches(stretch(frames[i : i + size], i, stem, model) for i in starts)
        found.source_frames = len(frames)
        found.breaks = tuple(f"cut at {i / 25:.2f} s" for i in starts[1:])
        return found

    def stretch(frames, start, stem, model):
        count = len(frames)
        valid = np.ones(count, bool)
        valid[: {"gap": 2}.get(stem, 0)] = False
        track = FaceTrack(
            identity=np.zeros(2, np.float32),
            expression=np.zeros((count, 3), np.float32),
            rotation=np.zeros((count, 3), np.float32),
            translation=np.zeros((count, 3), np.float32),
            gaze=np.zeros((count, 4), np.float32),
            landmarks=np.zeros((count, 478, 3), np.float32),
            valid=valid,
            crop=np.asarray([0, 0, 200], np.float32),
            source_size=np.asarray([64, 48], np.int32),
            focal=1.0,
            fps=25.0,
            face_model=model.hash,
        )
        crops = Crops(frames)
        crops.start = start
        return track, crops

    monkeypatch.setattr(footage, "track_all", track_all)
    monkeypatch.setattr(footage, "_landmarker", lambda: None)
    monkeypatch.setattr(footage, "overlay", lambda track, frames, model, indices: frames[0])
    monkeypatch.setattr(footage, "residual", residual_of)
    monkeypatch.setattr(footage, "quality", lambda clip: Quality(0, 2.0, 0.25))
    footage._acoustic.cache_clear()
    for module in (footage, command):
        monkeypatch.setattr(module, "load_face_model", load_face_model)
        monkeypatch.setattr(module, "load_acoustic", load_acoustic)
    yield tracked
    footage._acoustic.cache_clear()


@pytest.fixture
def video(tmp_path):
    def make(name: str, frames: int = FRAMES, sound: bool = True) -> Path:
        path = tmp_path / "grid" / f"{name}.mp4"
        rng = np.random.default_rng(len(name))
        speech = (0.1 * rng.standard_normal(640 * frames).astype(np.float32), 16000) if sound else None
        pictures = (np.full((48, 64, 3), min(10 * k, 250), np.uint8) for k in range(frames))
        media.write_video(path, pictures, (64, 48), speech)
        return path

    return make


def run(tmp_path: Path, *videos: Path, **options) -> Path:
    prepare(Args(out=tmp_path / "out", videos=videos, workers=1, **options))
    return tmp_path / "out"


def test_videos_become_clips_by_split(tmp_path, tracker, video):
    source = video(f"s1/{TRAINING}"), video(f"s1/{HELD_OUT}"), video("s1/mute", sound=False)
    out = run(tmp_path, source[0].parent)
    assert open_clips(out, "held_out").names == ["grid/s1/bbaz7a"]
    clip, mute = open_clips(out)
    assert (clip.name, clip.person, len(clip)) == ("grid/s1/bbaf2n", "s1", FRAMES)
    assert clip.speech.shape == (640 * FRAMES,) and clip.ppg.shape == (FRAMES, 41)
    assert clip.has_speech and clip.ppg.all() and clip.ppg_hash == "first"
    assert np.abs(clip.frames(5, 6).astype(int) - 50).max() <= 4
    assert not mute.has_speech and not mute.ppg.any() and not mute.speech.any() and mute.ppg_hash == "first"
    assert clip.track.face_model == "head"
    assert not (out / ".staging").exists()


def test_the_report_tells_all(tmp_path, tracker, video):
    for name in (TRAINING, "gap", "nobody", "odd"):
        video(f"s1/{name}")
    out = run(tmp_path, tmp_path / "grid", ppg=False)
    report = json.loads((out / "report.json").read_text())
    lines = {name.split("/")[-1]: line for name, line in report["clips"].items()}
    assert {name for name, line in lines.items() if line["kept"]} == {TRAINING, "gap"}
    assert "2 frames without a face, bridged" in lines["gap"]["faults"]
    assert "no face in" in lines["nobody"]["reason"] and "a bug" in lines["odd"]["reason"]
    figures = report["folders"]["grid+s1"]
    assert (figures["kept"], figures["dropped"], figures["frames"]) == (2, 2, 24)
    # 12 of each but the odd one, which was not read
    assert figures["tracked"] == pytest.approx(22 / 36) and figures["milliseconds_a_frame"]["landmarks"] > 0
    text = (out / "report.md").read_text()
    assert (
        "61.11%" in text and "| gap | 0.00 | 12 | 10 | 0.50 | 0.40 | 0 to 0 | 0 | 2 | 0.25 | 2 frames without" in text
    )
    assert "**dropped** grid/s1/odd" in text
    assert (out / "report" / "grid+s1.jpg").stat().st_size > 500
    assert not any(clip.ppg.any() or clip.ppg_hash for clip in open_clips(out))


def test_each_stretch_becomes_a_clip_with_its_own_sound(tmp_path, tracker, video):
    source = video("s1/cuts", frames=30)
    out = run(tmp_path, source, video("s1/one"))
    parts, whole = open_clips(out)[:3], media.read_speech(source)
    assert [clip.name for clip in open_clips(out)] == [*(f"grid/s1/cuts.part0{k}" for k in (1, 2, 3)), "grid/s1/one"]
    assert [len(clip) for clip in parts] == [12, 12, 6] and {clip.person for clip in parts} == {"s1"}
    for start, clip in zip((0, 12, 24), parts, strict=True):
        assert np.abs(clip.speech - whole[start * 640 : (start + len(clip)) * 640]).max() < 1e-4
        assert np.abs(clip.frame(0).astype(int) - min(10 * start, 250)).max() <= 4
    report = json.loads((out / "report.json").read_text())
    lines = [report["clips"][clip.name] for clip in parts]
    assert [line["start"] for line in lines] == [0, 12, 24] and {line["source_frames"] for line in lines} == {30}
    assert report["folders"]["grid+s1"]["tracked"] == 1  # 42 of 42: a video counts once
    assert "- **split** grid/s1/cuts: cut at 0.48 s; cut at 0.96 s" in (out / "report.md").read_text()
    assert sorted(path.name for path in (out / "report" / "grid+s1").iterdir())[:2] == [
        "cuts.part01.jpg",
        "cuts.part02.jpg",
    ]


def test_clips_of_a_video_are_known_and_replaced_together(tmp_path, tracker, video):
    source = video("s1/cuts", frames=30)
    out = run(tmp_path, source)
    before = (out / "report.json").read_text()
    run(tmp_path, source)
    assert tracker == ["cuts"] and (out / "report.json").read_text() == before
    video("s1/cuts", frames=20)
    run(tmp_path, source)
    assert open_clips(out).names == ["grid/s1/cuts.part01", "grid/s1/cuts.part02"]
    video("s1/cuts", frames=10)
    run(tmp_path, source)
    assert open_clips(out).names == ["grid/s1/cuts"]
    assert [*json.loads((out / "report.json").read_text())["clips"]] == ["grid/s1/cuts"]
    assert [path.name for path in (out / "report" / "grid+s1").iterdir()] == ["cuts.jpg"]


def test_a_video_interrupted_between_its_clips_is_staged_whole_or_not(tmp_path, tracker, video, monkeypatch):
    source = video("s1/cuts", frames=30)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        save, saved = footage.save_clip, []

        def interrupted(directory, clip, frames):
            if saved:
                raise KeyboardInterrupt
            saved.append(clip.name)
            save(directory, clip, frames)

        patch.setattr(footage, "save_clip", interrupted)
        run(tmp_path, source)
    out = run(tmp_path, source)
    assert tracker == ["cuts", "cuts"] and len(open_clips(out)) == 3


def test_parts_of_a_held_out_video_are_held_out(tmp_path, tracker, video):
    out = run(tmp_path, video(f"s1/{HELD_OUT}", frames=30))
    assert open_clips(out, "held_out").names == [f"grid/s1/{HELD_OUT}.part0{k}" for k in (1, 2, 3)]


def test_what_is_prepared_is_not_prepared_again(tmp_path, tracker, video):
    one, two = video("s1/one"), video("s1/two")
    out = run(tmp_path, one)
    before = (out / "report.json").read_text()
    run(tmp_path, one)
    assert tracker == ["one"] and (out / "report.json").read_text() == before
    run(tmp_path, two, one)
    assert tracker == ["one", "two"] and open_clips(out).names == ["grid/s1/one", "grid/s1/two"]
    video("s1/one", frames=20)  # another video under the old name
    run(tmp_path, one)
    assert tracker == ["one", "two", "one"] and [len(clip) for clip in open_clips(out)] == [20, FRAMES]
    run(tmp_path, one, face="left")
    assert len(tracker) == 4
    run(tmp_path, one, two, face="left", face_model=Path("other"))
    assert len(tracker) == 6 and {clip.track.face_model for clip in open_clips(out)} == {"other"}


def test_goes_on_where_it_was_interrupted(tmp_path, tracker, video, monkeypatch):
    one, two = video("s1/one"), video("s1/two")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        track = footage.track_all

        def interrupted(path, *rest, **options):
            if path.stem == "two":
                raise KeyboardInterrupt
            return track(path, *rest, **options)

        patch.setattr(footage, "track_all", interrupted)
        run(tmp_path, one, two)
    out = run(tmp_path, one, two)
    assert tracker == ["one", "two"] and len(open_clips(out)) == 2
    lines = json.loads((out / "report.json").read_text())["clips"]
    assert lines["grid/s1/one"]["frames"] == FRAMES  # what the first run found of it was kept with it


def test_phone_posteriors_are_computed_later_without_tracking(tmp_path, tracker, video):
    video(f"s1/{TRAINING}"), video(f"s1/{HELD_OUT}")
    out = run(tmp_path, tmp_path / "grid", ppg=False)
    before = open_clips(out)[0]
    run(tmp_path, update_ppg=True, acoustic=Path("better"))
    for split in ("train", "held_out"):
        (clip,) = open_clips(out, split)
        assert clip.ppg_hash == "better" and clip.ppg.all()
    after = open_clips(out)[0]
    assert np.array_equal(after.speech, before.speech) and list(after.jpegs) == list(before.jpegs)
    assert len(tracker) == 2


def test_faces_are_fitted_anew_without_tracking(tmp_path, tracker, video, monkeypatch):
    video(f"s1/{TRAINING}"), video(f"s1/{HELD_OUT}")
    out = run(tmp_path, tmp_path / "grid")
    before = {split: open_clips(out, split)[0] for split in ("train", "held_out")}

    def fitted(track, model):
        return track._replace(expression=track.expression + 1, face_model=model.hash)

    monkeypatch.setattr(command, "fitted", fitted)
    run(tmp_path, update_tracks=True)
    for split, old in before.items():
        (new,) = open_clips(out, split)
        assert (new.track.expression == 1).all() and new.fingerprint == old.fingerprint
        assert np.array_equal(new.ppg, old.ppg) and list(new.jpegs) == list(old.jpegs)
    run(tmp_path, tmp_path / "grid")  # it is this version's work as before
    assert len(tracker) == 2
    run(tmp_path, update_tracks=True, face_model=Path("other"))
    (new,) = open_clips(out)
    assert new.track.face_model == "other" and new.fingerprint != before["train"].fingerprint
    run(tmp_path, tmp_path / "grid", face_model=Path("other"))  # which is not tracked again either
    assert len(tracker) == 2


def test_one_person_gets_one_identity_from_all_videos(tmp_path, tracker, video, monkeypatch):
    video(f"me/{TRAINING}"), video("me/another"), video("you/one")
    together = []

    def fitted_together(tracks, model):
        together.append(len(tracks))
        return [track._replace(identity=track.identity + len(together), face_model=model.hash) for track in tracks]

    monkeypatch.setattr(command, "fitted_together", fitted_together)
    folders = [tmp_path / "grid" / name for name in ("me", "you")]
    out = run(tmp_path, *folders, one_person=True)
    clips = [
        clip
        for split in ("train", "held_out")
        for folder in builders.folders(out)
        for clip in builders.read_folder(folder, split)
    ]
    assert sorted(together) == [1, 2] and {clip.person for clip in clips} == {"me", "you"}
    assert len({tuple(clip.track.identity) for clip in clips if clip.person == "me"}) == 1
    assert len({tuple(clip.track.identity) for clip in clips}) == 2
    video("they/one")
    run(tmp_path, tmp_path / "grid" / "they", one_person=True)
    assert sorted(together) == [1, 1, 2]  # who was there before stays as they were


def test_bad_input_is_told_in_a_line(tmp_path, tracker, video):
    with pytest.raises(UserError, match="no videos given"):
        run(tmp_path)
    with pytest.raises(UserError, match="does not exist"):
        run(tmp_path, tmp_path / "missing")
    with pytest.raises(UserError, match="unknown face 'nicest'"):
        run(tmp_path, tmp_path, face="nicest")
    with pytest.raises(UserError, match="not a readable face model"):
        run(tmp_path, tmp_path, face_model=Path("missing"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no video below"):
        run(tmp_path, tmp_path / "empty")
    with pytest.raises(UserError, match="none of 1 videos could be used; the first: no face"):
        run(tmp_path, video("s1/nobody"))
    with pytest.raises(UserError, match="no weights in"):
        run(tmp_path, video("s1/one"), acoustic=Path("missing"))
    assert tracker == ["nobody"]
    with pytest.raises(UserError, match="no prepared clips"):
        run(tmp_path, update_ppg=True)


def test_two_videos_of_one_name(tmp_path, tracker, video):
    one = video("s1/one")
    other = one.rename(tmp_path / "grid" / "s1" / "one.mkv")
    out = run(tmp_path, video("s1/one"), other)
    lines = json.loads((out / "report.json").read_text())["clips"]
    assert lines["grid/s1/one"]["kept"] and "same name as" in lines["grid/s1/one.mkv"]["reason"]
    assert len(open_clips(out)) == 1


def test_parts_of_a_long_video_by_the_list_of_a_corpus(tmp_path, tracker, video):
    source = video("obama/Radio1", frames=60)
    root = source.parents[1]
    (root / "RD_annotion_time.txt").write_text("Radio1.mp4 00:00-00:01 00:01-00:02\nRadio2.mp4 00:03-00:09\n")
    out = run(tmp_path, root, corpus="hdtf")
    side = "held_out" if is_held_out("hdtf/Radio/RD_Radio1_0") else "train"
    clips, whole = open_clips(out, side), media.read_speech(source)
    assert clips.names == ["hdtf/Radio/RD_Radio1_0", "hdtf/Radio/RD_Radio1_1"]
    assert {(clip.person, len(clip)) for clip in clips} == {("Radio", 25)}
    for start, clip in zip((0, 25), clips, strict=True):
        assert np.abs(clip.frame(3).astype(int) - min(10 * (start + 3), 250)).max() <= 4
        assert np.abs(clip.speech - whole[start * 640 : (start + 25) * 640]).max() < 1e-3
    lines = json.loads((out / "report.json").read_text())["clips"]
    assert "is not below" in lines["hdtf/Radio/RD_Radio2_0"]["reason"]
    assert (out / "corpora" / "hdtf").is_dir()
    run(tmp_path, root, corpus="hdtf", only=("*_1",))
    assert len(tracker) == 2  # not again: the file and the times are the same
    with pytest.raises(UserError, match="takes one folder"):
        run(tmp_path, root, root, corpus="hdtf")


def test_sound_beside_a_video_without_any(tmp_path, tracker, video):
    folder = "mead/M003/video/front/sad/level_1"
    source = video(f"{folder}/001", sound=False)
    sound = source.parents[4] / "audio" / "sad" / "level_1" / "001.m4a"
    sound.parent.mkdir(parents=True)
    media.write_video(tmp_path / "heard.mp4", [np.zeros((48, 64, 3), np.uint8)], (64, 48), (np.full(8000, 0.1), 16000))
    (tmp_path / "heard.mp4").rename(sound)
    out = run(tmp_path, tmp_path / "grid" / "mead", corpus="mead")
    (clip,) = open_clips(out)
    assert clip.name == "mead/M003/front_sad_level_1_001" and clip.has_speech and clip.ppg.any()


def test_doubtful_clips_are_listed_not_dropped(tmp_path, tracker, video, monkeypatch):
    monkeypatch.setattr(footage, "quality", lambda clip: Quality(4, 2.0, 0.25))
    out = run(tmp_path, video("s1/one"))
    line = json.loads((out / "report.json").read_text())["clips"]["grid/s1/one"]
    assert (line["sync_offset"], line["sync_confidence"], line["sharpness"]) == (4, 2.0, 0.25)
    assert line["kept"] and "the sound is 4 frames late" in line["faults"]
    assert "- **doubtful** grid/s1/one: the sound is 4 frames late" in (out / "report.md").read_text()
    out = run(tmp_path / "unscored", video("s1/two"), score=False)
    assert not json.loads((out / "report.json").read_text())["clips"]["grid/s1/two"]["faults"]


def test_names_and_people(tmp_path):
    for name in ("talk/clip", "talk/clip.part01", "talk/clip.part123"):
        assert video_of(name) == "talk/clip"
    assert video_of("talk/clip.2") == "talk/clip.2"
    assert clip_name(Path("/data/corpora/grid/s1/bbaz7a.mkv")) == "grid/s1/bbaz7a"
    assert clip_name(Path("/me.mp4")) == "me"
    people = {
        "grid/s1/bbaz7a": "s1",
        "prompts/mead/M003_level_1_disgusted_015": "M003",
        "prompts/emotion_silent/W009_front_sad_level3_001": "W009",
        "prompts/speeches/Obama_clip1": "Obama",
        "prompts/generated/vasa_3": "vasa_3",
    }
    assert {name: person_of(name) for name in people} == people
    for name in ("b.MP4", "a.mkv", "notes.txt", "._a.mkv"):
        (tmp_path / name).touch()
    assert [path.name for path in find_videos([tmp_path, tmp_path / "a.mkv"])] == ["a.mkv", "b.MP4"]


@pytest.mark.slow
def test_a_clip_of_grid_end_to_end(tmp_path, recordings):
    """Two videos in two processes, through the real tracker."""
    videos = [recordings / "grid" / "s1" / f"{name}.mkv" for name in (TRAINING, HELD_OUT)]
    command = [sys.executable, "-m", "vast_jax.prepare", *map(str, videos), "--out", str(tmp_path), "--no-ppg"]
    root = Path(__file__).parents[2]
    subprocess.run(
        [*command, "--workers", "2"], check=True, cwd=root, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    (clip,) = open_clips(tmp_path)
    assert clip.name == "grid/s1/bbaf2n" and len(clip) == 75 and clip.track.valid.mean() >= 0.99
    assert clip.has_speech and np.abs(clip.speech).max() > 0.05
    frames = clip.frames(0, 75)
    assert frames.shape == (75, 256, 256, 3) and frames.std() > 20
    eyes = (clip.track.landmarks[:, 33, :2] + clip.track.landmarks[:, 263, :2]) / 2
    assert np.abs(np.median(eyes, 0) - (128, 112)).max() < 2  # docs/paper.md, Crop
    assert open_clips(tmp_path, "held_out").names == ["grid/s1/bbaz7a"]
