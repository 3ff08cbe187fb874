"""The command from videos to the page, on computer-generated talkers."""

import json
import re
import shutil
from html.parser import HTMLParser
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from vast_jax import media
from vast_jax.data.clips import Clip, encode_jpeg
from vast_jax.data.pipeline import Clips
from vast_jax.evaluate import __main__ as command
from vast_jax.evaluate import held_out, planning, run, store
from vast_jax.evaluate.cropped_video import crop_video
from vast_jax.evaluate.measuring import REAL, Instruments, Measured, measure_clip
from vast_jax.evaluate.summary import FIGURES, OTHER_SOUND, TABLE_1
from vast_jax.face.landmarks import Landmarker
from vast_jax.face.model import load_face_model
from vast_jax.metrics.lip_reading import load_lip_reader
from vast_jax.metrics.sync import load_sync
from vast_jax.synthesis import random_scene, write_clip
from vast_jax.types import UserError

FRAMES, NAMES = 40, ("s1_bbaf2n", "s1_lgbf8n")


@pytest.fixture(scope="module")
def face():
    return load_face_model()


@pytest.fixture(scope="module")
def real(face, tmp_path_factory):
    """A folder of two videos of one second and a half."""
    folder = tmp_path_factory.mktemp("real")
    for seed, name in enumerate(NAMES):
        scene = random_scene(np.random.default_rng(seed), face, "clean", FRAMES / 25, (256, 256), 60.0, 5.0, 3.0)
        write_clip(folder / f"{name}.mp4", scene, face)
    return folder


@pytest.fixture(scope="module")
def tools(face):
    def acoustic(signal, frames):
        return np.full((frames, 41), 1 / 41, np.float32)

    return Instruments(face, acoustic, load_sync(), load_lip_reader(), None, None, 0)


@pytest.fixture(scope="module")
def landmarker():
    with Landmarker(num_faces=1) as landmarker:
        yield landmarker


@pytest.fixture(scope="module")
def seen(real, face, landmarker):
    return crop_video(real / f"{NAMES[0]}.mp4", face, landmarker)


def remade(folder, real, change, name=NAMES[0]):
    """A video like a real one whose frames [T, H, W, 3] a function changes."""
    source = real / f"{name}.mp4"
    frames = change(np.stack(list(media.read_frames(source))))
    folder.mkdir(exist_ok=True)
    size = frames.shape[2], frames.shape[1]
    media.write_video(folder / f"{name}.mp4", frames, size, media.native_audio(source), crf=4)
    return folder / f"{name}.mp4"


def blurred(frames):
    return np.stack([cv2.GaussianBlur(frame, (0, 0), 3) for frame in frames])


def test_a_video_beside_itself_is_perfect(tools, seen):
    figures = measure_clip(tools, NAMES[0], seen, {"same": seen})["same"].figures
    assert figures["ssim"] == pytest.approx(1) and figures["psnr_hole"] == 60
    assert figures["lmd"] == pytest.approx(0, abs=1e-4) and figures["mouth_error"] == 0
    assert figures["lip_correlation"] == pytest.approx(1) and figures["lip_lag"] == 0
    assert figures["frames"] == figures["frames_compared"] == FRAMES


def test_blur_delay_and_stillness_each_show_where_they_should(tools, seen, real, face, landmarker, tmp_path):
    changes = {
        "blurred": blurred,
        "late": lambda frames: frames[np.maximum(np.arange(len(frames)) - 3, 0)],
        "still": lambda frames: np.repeat(frames[:1], len(frames), 0),
    }
    made = {
        name: crop_video(remade(tmp_path / name, real, change), face, landmarker, seen)
        for name, change in changes.items()
    }
    found = measure_clip(tools, NAMES[0], seen, made)
    figures = {system: measured.figures for system, measured in found.items()}
    assert figures["blurred"]["cpbd"] < 0.5 * figures[REAL]["cpbd"]
    assert figures["blurred"]["ssim_hole"] < 0.95 and figures["blurred"]["lip_lag"] == 0
    assert figures["late"]["lip_lag"] == 3 and figures["late"]["lmd_m"] > figures["blurred"]["lmd_m"] > 0
    for name in ("flicker", "tremble"):
        assert figures["still"][name] < 0.5 * figures[REAL][name]
    assert figures["still"]["jitter"] < 0.1 * figures[REAL]["jitter"]
    assert figures["still"]["mouth_error"] > figures["blurred"]["mouth_error"]
    np.testing.assert_array_equal(made["late"].track.crop, seen.track.crop)


def test_a_video_of_another_size_gets_its_own_crop(seen, real, face, landmarker, tmp_path):
    def larger(frames):
        return np.stack([cv2.resize(np.pad(f, [(40, 40), (90, 10), (0, 0)], "edge"), None, fx=2, fy=2) for f in frames])

    other = crop_video(remade(tmp_path / "large", real, larger), face, landmarker, seen)
    eyes = [np.nanmedian(video.landmarks[:, [33, 263], :2], 0) for video in (seen, other)]
    np.testing.assert_allclose(*eyes, atol=1)
    assert other.size != seen.size


def test_what_was_measured_is_kept_under_its_key(tmp_path):
    path, arrays = tmp_path / "a.npz", {"vgg": np.eye(3, dtype=np.float32)}
    measured = {
        REAL: Measured({"lmd": 1.0}, {"greedy": "bin"}, arrays),
        "other": Measured({"lmd": float("nan")}, {}, {}),
    }
    store.save(path, "key", store.Stored(measured, {"x": "fault"}, 3.5))
    known, remarks, seconds = store.load(path, "key")
    assert known[REAL].figures == {"lmd": 1.0} and known[REAL].words == {"greedy": "bin"}
    assert remarks == {"x": "fault"} and seconds == 3.5
    np.testing.assert_array_equal(known[REAL].arrays["vgg"], np.eye(3))
    assert np.isnan(known["other"].figures["lmd"])
    assert store.load(path, "another") is None and store.load(tmp_path / "none.npz", "key") is None
    for kept in (100, 0):  # cut short, as by a full disk or a loss of power
        path.write_bytes(path.read_bytes()[:kept])
        assert store.load(path, "key") is None


def test_the_key_tells_videos_and_instruments_apart(tmp_path):
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")
    keys = {
        store.key_of({REAL: tmp_path / one, "made": tmp_path / two}, tools)
        for one, two, tools in (("a", "b", "x"), ("b", "a", "x"), ("a", "a", "x"), ("a", "b", "y"))
    }
    assert len(keys) == 4


class Outline(HTMLParser):
    """Tags, sources and text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.sources, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.sources += [value for name, value in attributes if name in ("src", "href", "poster")]

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture
def made(real, tmp_path):
    """A folder of blurred copies, one of which is no video, and a video that nothing real is named as."""
    folder = tmp_path / "made"
    remade(folder, real, blurred)
    (folder / f"{NAMES[1]}.mp4").write_bytes(b"no video")
    shutil.copy(folder / f"{NAMES[0]}.mp4", folder / "extra <b>.mp4")
    return folder


def test_two_folders_to_a_page(real, made, tmp_path, monkeypatch, capsys):
    args = command.Args(tmp_path / "report", made, real, prompts=real, every=0, mos=False)
    table = command.evaluate(args)
    assert list(table) == [REAL, held_out.GENERATED] and set(TABLE_1) - {"fd_vgg16"} <= set(table[held_out.GENERATED])
    report = json.loads((args.out / "report.json").read_text())
    assert report["clips"] == 1 and {"extra <b>", f"{NAMES[1]}, generated"} <= set(report["remarks"])
    lmd = report["figures"][held_out.GENERATED]["lmd"]
    assert lmd["n"] == 1 and lmd["unit"] == "px" and "Umeyama" in lmd["convention"]
    page = Outline((args.out / "report.html").read_text())
    text = " ".join(page.words)
    assert page.tags.count("video") == 1 and all(source.startswith("data:") for source in page.sources)
    assert "paper: VAST" in text and NAMES[0] in text and "extra <b>" in text and "nan" not in text.lower().split()
    out = capsys.readouterr().out
    assert "CPBD" in out and re.search(r"^generated +\d", out, re.M)

    def never(*_):
        raise AssertionError("measured again")

    monkeypatch.setattr(run, "measure_clip", never)
    again = command.evaluate(args)
    assert again[held_out.GENERATED]["ssim"] == table[held_out.GENERATED]["ssim"]


def test_what_cannot_be_measured_is_said_in_one_line(real, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    out, nothing = tmp_path / "report", tmp_path / "nothing"
    for options, words in (
        ({}, "give --generated"),
        ({"generated": real}, "give --generated"),
        ({"generated": real, "reference": nothing}, "no such folder"),
        ({"generated": empty, "reference": real}, "no video in it"),
        ({"generated": real, "reference": real, "data": real}, "leave out"),
        ({"avatar": real, "generated": real, "reference": real}, "--avatar needs --data"),
        ({"generated": real, "reference": real, "clips": 0}, "1 or more"),
        ({"generated": real, "reference": real, "inception": nothing, "every": 1}, "nothing"),
        ({"generated": real, "reference": real, "inception": nothing, "every": 0}, "--every 1"),
        ({"generated": real, "reference": real, "person": "s1"}, "--person goes with --data"),
        ({"generated": real, "reference": real, "style": real}, "--style goes with --data"),
    ):
        with pytest.raises(UserError, match=words):
            command.evaluate(command.Args(out, **({"every": 0} | options)))
    assert not out.exists()
    (empty / f"{NAMES[0]}.mp4").write_bytes(b"no video")
    with pytest.raises(UserError, match="no clip could be measured"):
        command.evaluate(command.Args(out, empty, real, every=0))
    assert not (out / "report.html").exists()


class Style:
    """Follows no one."""

    def __init__(self, dimensions):
        self.card = {"sha256": "style"}
        self.mouth = np.random.default_rng(0).uniform(0, 0.1, (41, dimensions)).astype(np.float32)

    def encode(self, expression, ppg, has_speech):
        return expression.mean(0)

    def decode(self, ppg, style, seed):
        return style + ppg @ self.mouth


class Actor:
    """Shows the clip itself for the tracked expression, else a blurred one."""

    def __init__(self):
        self.person, self.card = "s1", {}

    def render(self, clip, expression, ppg=None):
        frames = clip.frames()
        return frames if np.array_equal(expression, clip.track.expression) else blurred(frames)


@pytest.fixture
def world(monkeypatch, face, real, landmarker, tmp_path):
    clips, rng = [], np.random.default_rng(0)
    for name in (*NAMES, NAMES[0]):
        video = crop_video(real / f"{name}.mp4", face, landmarker)
        ppg = rng.dirichlet(np.ones(41), FRAMES).astype(np.float32)
        speech, jpegs = (video.speech * 32767).astype(np.int16), [encode_jpeg(frame) for frame in video.frames]
        code = ("bbaf2n", "lgbf8n", "swwv7s")[len(clips)]
        clips.append(Clip(f"grid/s1/{code}", "s1", code, video.track, speech, True, ppg, "heard", jpegs))
    everything = {"held_out": Clips([clips[0], clips[2]]), "train": Clips(clips[1:2])}

    class Acoustic(SimpleNamespace):
        def __call__(self, signal, frames):
            return np.full((frames, 41), 1 / 41, np.float32)

    avatar = tmp_path / "avatar"
    avatar.mkdir()
    (avatar / "renderer.safetensors").write_bytes(b"weights")
    models = SimpleNamespace(
        face=face, style=Style(len(face.expression_names)), acoustic=Acoustic(hash="heard"), everything=everything
    )
    monkeypatch.setattr(command, "load_models", lambda style, acoustic, face_model: models)
    monkeypatch.setattr(planning, "load_avatar", lambda *_: Actor())
    monkeypatch.setattr(planning, "open_clips", lambda data, split: everything[split])
    models.avatar = avatar
    return models


def test_an_avatar_is_shown_on_its_held_out_clips(world, tmp_path, monkeypatch):
    args = command.Args(tmp_path / "report", avatar=world.avatar, data=tmp_path, every=0, mos=True)
    table = command.evaluate(args)
    assert set(table) == {*held_out.SYSTEMS, OTHER_SOUND}
    assert table[held_out.TRACKED]["ssim"].mean > 0.999 > table[held_out.GENERATED]["ssim"].mean
    for system in held_out.SYSTEMS:
        info = media.probe(args.out / "videos" / system / "grid_s1_bbaf2n.mp4")
        assert info[:2] == (256, 256) and info.frames == FRAMES and info.has_audio
    assert (args.out / "mos" / "for_raters" / "index.html").is_file()
    assert "pipeline" in json.loads((args.out / "report.json").read_text())
    monkeypatch.setattr(Actor, "render", None)  # nothing is made twice
    command.evaluate(args)


def test_a_clip_that_cannot_be_shown_does_not_end_the_evaluation(world, tmp_path, monkeypatch):
    def render(self, clip, expression, ppg=None):
        if clip.name.endswith("swwv7s"):
            raise UserError("the face moves beyond the window")
        return clip.frames()

    monkeypatch.setattr(Actor, "render", render)
    out = tmp_path / "report"
    table = command.evaluate(command.Args(out, avatar=world.avatar, data=tmp_path, every=0))
    assert table[REAL]["frames"].n == table[held_out.GENERATED]["frames"].n == 1
    assert "beyond the window" in json.loads((out / "report.json").read_text())["remarks"]["grid_s1_swwv7s, generated"]


def test_what_went_wrong_in_passing_is_tried_again(world, tmp_path, monkeypatch):
    args = command.Args(tmp_path / "report", avatar=world.avatar, data=tmp_path, clips=1, every=0)

    def broken(path, *rest):
        if held_out.OTHER in str(path):
            raise MemoryError
        return crop_video(path, *rest)

    monkeypatch.setattr(run, "crop_video", broken)
    with pytest.raises(UserError, match="no clip could be measured"):
        command.evaluate(args)
    monkeypatch.setattr(run, "crop_video", crop_video)
    assert command.evaluate(args)[held_out.OTHER]["frames"].n == 1


def test_the_other_speech_is_another(world, tmp_path):
    """With more held-out clips a control is made anew, and of a single one there is none."""
    every = world.everything["held_out"]
    cast = held_out.Cast(Actor(), world.style, world.everything["train"], every[:1], every[0].track.expression[0], "w")
    paths, failed = held_out.write_videos(cast, every[0], tmp_path)
    assert held_out.OTHER not in paths and not failed
    first = {path: path.stat().st_mtime_ns for path in paths.values()}
    paths, _ = held_out.write_videos(cast._replace(held_out=every), every[0], tmp_path)
    assert (
        paths[held_out.OTHER].is_file() and first.items() <= {p: p.stat().st_mtime_ns for p in paths.values()}.items()
    )
    before = paths[held_out.OTHER].stat().st_mtime_ns
    paths, _ = held_out.write_videos(
        cast._replace(held_out=[every[0], world.everything["train"][0]]), every[0], tmp_path
    )
    assert paths[held_out.OTHER].stat().st_mtime_ns > before


def test_expressions_alone_are_measured_without_an_avatar(world, tmp_path):
    out = tmp_path / "report"
    assert command.evaluate(command.Args(out, data=tmp_path, person="s1", every=0)) == {}
    assert json.loads((out / "report.json").read_text())["pipeline"]["figures"]["clips"] == 2
    assert "mouth_error_mm_own_mean" in (out / "report.html").read_text()


def test_clips_of_another_acoustic_model_are_refused(world, tmp_path):
    world.acoustic.hash = "other"
    with pytest.raises(UserError, match="--update-ppg"):
        command.evaluate(command.Args(tmp_path / "report", data=tmp_path, every=0))


def test_frames_without_a_face_are_left_out(tools, seen):
    """A video whose face is lost now and then does not pass for a calm one."""
    lost = np.arange(FRAMES) % 10 < 3
    held = seen.track.expression.copy()
    held[lost] = held[0]
    landmarks = np.where(lost[:, None, None], np.nan, seen.landmarks)
    track = seen.track._replace(valid=seen.track.valid & ~lost, expression=held)
    found = measure_clip(tools, NAMES[0], seen, {"lost": seen._replace(track=track, landmarks=landmarks)})
    figures = found["lost"].figures
    assert figures["jitter"] == pytest.approx(found[REAL].figures["jitter"], rel=0.5)
    assert figures["frames_without_face"] == lost.sum() and figures["mouth_error"] == pytest.approx(0, abs=1e-6)
    assert len(found["lost"].arrays["expression"]) == FRAMES - lost.sum()


def test_every_figure_of_the_paper_has_a_convention():
    assert set(TABLE_1) <= set(FIGURES) and all(figure.convention for figure in FIGURES.values())
    assert OTHER_SOUND not in held_out.SYSTEMS
