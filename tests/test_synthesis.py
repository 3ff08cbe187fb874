import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest

from vast_jax import media
from vast_jax.audio import SAMPLE_RATE, SAMPLES_PER_FRAME
from vast_jax.face.landmarks import LEFT_EYE, LIPS, RIGHT_EYE
from vast_jax.face.model import PART_NAMES, load_face_model
from vast_jax.face.rasterise import camera_of, place, project, rotation_matrix
from vast_jax.face.shading import shade_over
from vast_jax.metrics.expression import correlation, mesh_lip_aperture
from vast_jax.synthesis import Sensor, load_truth, motion, occlusion, random_scene, render, speech, truth, write_clip
from vast_jax.synthesis.appearance import OCCLUDERS, random_occluder
from vast_jax.synthesis.measure import Fitted, compare, rotation_angles
from vast_jax.synthesis.speech import CLOSED, Phone, closure, mouth_shapes, random_phones
from vast_jax.types import CROP, UserError


@pytest.fixture(scope="module")
def model():
    return load_face_model()


def draw(model, seed=0, realism="clean", size=(96, 96), seconds=0.2, **options):
    return random_scene(np.random.default_rng(seed), model, realism, seconds, size, **options)


def test_a_seed_says_everything(model):
    first, again, other = (list(render(draw(model, seed, "hard"), model)) for seed in (1, 1, 2))
    assert len(first) == 5
    np.testing.assert_array_equal(first, again)
    assert np.abs(np.subtract(first, other, dtype=float)).mean() > 5
    np.testing.assert_array_equal(speech(draw(model, 1)), speech(draw(model, 1)))


def test_the_truth_is_what_is_drawn(model):
    scene = draw(model, 3, size=(320, 200), eye_distance=40.0, yaw=10.0)
    known = truth(scene, model)
    points = place(model, *known.track[:5])
    picture = np.zeros((200, 320, 3), np.float32)
    index = shade_over(picture, model, points[2], scene.camera, scene.look)
    part = np.where(index < 0, -1, model.part[model.triangles[index, 0]])
    offset = np.abs(model.landmark_offset[LIPS]).max() * 40 / 63  # pixels: the detector's own idea of where lips end
    rows, columns = np.nonzero(part == PART_NAMES.index("lips"))
    seen = known.landmarks[2, LIPS]
    box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    np.testing.assert_allclose([*seen.min(0), *seen.max(0)], box, atol=2.5 + offset)
    for eye, corners in (("eye_left", LEFT_EYE), ("eye_right", RIGHT_EYE)):
        rows, columns = np.nonzero(part == PART_NAMES.index(eye))
        low, high = known.landmarks[2, corners].min(0) - 1 - offset, known.landmarks[2, corners].max(0) + 1 + offset
        assert low[0] < columns.min() and columns.max() < high[0] and low[1] < rows.min() and rows.max() < high[1]


def test_the_track_of_the_truth_sees_its_crop_as_a_tracker_would(model):
    scene = draw(model, 4, size=(240, 160), focal=1.5)
    known = truth(scene, model)
    assert known.track.focal == 1.5 * 240
    left, top, side = known.track.crop
    np.testing.assert_allclose(known.track.landmarks[..., :2], (known.landmarks - [left, top]) * CROP / side, atol=1e-2)
    points = place(model, *known.track[:5])[:, ::50]
    in_crop = (project(points, scene.camera)[..., :2] - [left, top]) * CROP / side
    np.testing.assert_allclose(project(points, camera_of(known.track))[..., :2], in_crop, atol=1e-2)


def test_lips_meet_where_they_must_and_the_jaw_goes_with_the_vowels(model):
    phones = (Phone("SIL", 0, 0.2), Phone("M", 0.2, 0.3), Phone("AA", 0.3, 0.5), Phone("B", 0.5, 0.58))
    phones = (*phones, Phone("AE", 0.58, 0.7), Phone("SIL", 0.7, 1.0))
    times = np.array([0.25, 0.4, 0.54, 0.64, 0.9])
    shapes = mouth_shapes(phones, times)
    np.testing.assert_allclose(closure(phones, times), [1, 0, 1, 0, 1], atol=1e-6)
    assert shapes["jawOpen"][1] > 0.5 and shapes["jawOpen"][3] > 0.3 and shapes["jawOpen"][4] < 0.05
    expression = np.zeros((5, len(model.expression_names)))
    for name, values in shapes.items():
        for full in (name, name + "Left", name + "Right"):
            if full in model.expression_names:
                expression[:, model.expression_names.index(full)] = values
    gap = mesh_lip_aperture(model, np.zeros(len(model.identity_basis)), expression)
    assert gap[[0, 2, 4]].max() < 0.25 * gap[[1, 3]].min()


def test_phones_come_at_the_rate_of_speech_and_fill_the_clip():
    phones = random_phones(np.random.default_rng(0), 20.0, rate=12.0)
    assert phones[0].start == 0 and phones[-1].stop == 20
    assert all(a.stop == pytest.approx(b.start) for a, b in pairwise(phones))
    spoken = [phone.stop - phone.start for phone in phones if phone.name != "SIL"]
    assert 1 / np.mean(spoken) == pytest.approx(12, rel=0.1)
    assert CLOSED & {phone.name for phone in phones}


def test_blinks_close_fully_and_fast_and_open_slowly():
    times = np.arange(0, 1, 0.001)
    closed = motion.blinks(np.random.default_rng(0), times, np.array([0.2]))[:, 0]
    assert closed.max() > 0.9 and closed[times < 0.2].max() == 0 and closed[-1] < 1e-6
    above = times[closed > 0.5 * closed.max()]
    assert above[0] - 0.2 < 0.08 and above[-1] - above[0] > 0.06
    fast, slow = np.diff(closed).max(), -np.diff(closed).min()
    assert fast > 1.2 * slow


def test_eyes_stay_on_target_while_the_head_turns(model):
    times = np.arange(100) / 25
    rotation = np.zeros((100, 3))
    rotation[:, 1] = np.linspace(-0.2, 0.2, 100)
    gaze = motion.gaze(np.random.default_rng(0), times, rotation)
    still = motion.gaze(np.random.default_rng(0), times, 0 * rotation)
    np.testing.assert_allclose(gaze[:, 0] - still[:, 0], rotation[:, 1], atol=1e-6)


def test_sound_is_as_long_as_the_picture_and_in_step(model):
    scene = draw(model, 5, seconds=2.0)
    sound = speech(scene)
    assert len(sound) == SAMPLES_PER_FRAME * len(scene.expression) and np.abs(sound).max() <= 0.5 + 1e-6
    time = np.arange(len(sound)) / SAMPLE_RATE
    silent, loud = (
        np.concatenate([sound[(time > p.start + 0.02) & (time < p.stop - 0.02)] for p in scene.phones if keep(p.name)])
        for keep in (lambda name: name == "SIL", lambda name: name in ("AA", "AE", "AH", "EH", "IY", "IH", "OW"))
    )
    assert np.std(silent) < 0.01 * np.std(loud)


@pytest.mark.parametrize("kind", OCCLUDERS)
def test_an_occluder_covers_what_it_says_and_nothing_else(model, kind):
    scene = draw(model, 6, size=(128, 128), seconds=0.1)
    occluder = random_occluder(np.random.default_rng(1), scene.look, np.array([64.0, 60.0]), 0.3, kind)
    occluder = occluder._replace(colour=(0.0, 1.0, 0.0))
    hidden = replace(scene, occluder=occluder)
    plain, covered = (next(render(s, model)).astype(float) for s in (scene, hidden))
    cover = occlusion(hidden, model, 0)
    np.testing.assert_array_equal(covered[cover == 0], plain[cover == 0])
    some = cover > 0.3
    assert some.sum() > 20
    colour = np.array([0, 255, 0])
    assert (np.abs(covered - colour)[some] <= 0.7 * np.abs(plain - colour)[some] + 1).all()
    if kind == "hand":
        assert cover.sum() == pytest.approx(0.6 * np.pi * occluder.radius**2, rel=0.05)
        x, y = np.tensordot(cover, np.mgrid[:128, :128][::-1] + 0.5, ([0, 1], [1, 2])) / cover.sum()
        np.testing.assert_allclose([x, y], occluder.centre, atol=0.5)
    elif kind == "microphone":
        rows = np.flatnonzero(cover.any(1))
        assert rows[-1] == 127 and abs(rows[0] - occluder.centre[1]) < 1.5 * occluder.radius + 2
    else:
        for corners in (LEFT_EYE, RIGHT_EYE):  # rims go round the eyes and leave them free
            x, y = truth(scene, model).landmarks[0, corners].mean(0).round().astype(int)
            assert cover[y, x] == 0
            assert all(line.max() > 0.3 for line in (cover[:y, x], cover[y:, x], cover[y, :x], cover[y, x:]))


def test_the_sensor_does_what_it_says(model):
    scene = replace(draw(model, 7, size=(128, 128), seconds=0.1), gaze=np.zeros((2, 4), np.float32))
    plain = next(render(scene, model)).astype(float)
    noisy = next(render(replace(scene, sensor=Sensor(noise=4.0)), model)).astype(float)
    sigma = 4 * np.sqrt(plain / 128)
    inside = (plain > 30) & (plain < 225)
    assert ((noisy - plain)[inside] / sigma[inside]).std() == pytest.approx(1, abs=0.05)
    soft = next(render(replace(scene, sensor=Sensor(defocus=2.0)), model)).astype(float)
    assert np.abs(np.diff(soft, axis=0)).mean() < 0.8 * np.abs(np.diff(plain, axis=0)).mean()


def test_what_cannot_be_drawn_is_said(model):
    for options in ({"seconds": 0}, {"size": (8, 8)}, {"yaw": 120.0}, {"focal": 0.0}, {"realism": "dreamy"}):
        with pytest.raises(UserError):
            draw(model, **options)
    with pytest.raises(UserError, match="must end in"):
        write_clip("clip.avi", draw(model), model)


def test_the_command_writes_clips_that_can_be_read(tmp_path):
    command = [sys.executable, "-m", "vast_jax.synthesis", "--out", str(tmp_path), "--clips", "2", "--seconds", "0.4"]
    done = subprocess.run([*command, "--size", "96", "--clean"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    clips = sorted(tmp_path.glob("*.mp4"))
    assert len(clips) == 2 and len(list(tmp_path.iterdir())) == 4
    known = load_truth(clips[0].with_suffix(".npz"))
    frames = list(media.read_frames(clips[0]))
    assert len(frames) == len(known.landmarks) == len(known.track.valid) == 10 and frames[0].shape == (96, 96, 3)
    assert len(media.read_speech(clips[0])) == pytest.approx(0.4 * SAMPLE_RATE, abs=1500)
    assert known.phones[-1].stop == pytest.approx(0.4)
    wrong = subprocess.run([*command, "--clips", "0"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2 and "Traceback" not in wrong.stderr


def test_truth_of_another_kind_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    for name in ("other.npz", "none.npz"):
        with pytest.raises(UserError, match=name):
            load_truth(tmp_path / name)


def test_a_perfect_fit_has_no_error_and_a_turned_one_the_angle_of_its_turn(model):
    known = truth(draw(model, 8, seconds=0.8), model).track
    figures = compare(model, known, Fitted(*known[:5]), slice(None))
    assert figures["pose"] < 0.01 and figures["mouth"] < 0.01 and figures["gaze"] < 0.1
    assert figures["jaw"] == pytest.approx(1) and figures["depth"] == pytest.approx(1)
    turn = rotation_matrix(np.array([0, np.radians(5.0), 0]))
    matrices = turn @ rotation_matrix(known.rotation)
    turned = np.stack([cv2.Rodrigues(matrix)[0][:, 0] for matrix in matrices])
    angles = rotation_angles(turned, known.rotation)
    assert angles["pose"] == pytest.approx(5, abs=0.01) and angles["bias"] == pytest.approx(5, abs=0.01)
    assert angles["rest"] < 0.01


def test_one_person_stays_the_same_from_clip_to_clip(model):
    first, second = (draw(model, seed, person=np.random.default_rng(9)) for seed in (1, 2))
    np.testing.assert_array_equal(first.identity, second.identity)
    np.testing.assert_array_equal(first.look.palette, second.look.palette)
    jaw = model.expression_names.index("jawOpen")
    assert correlation(first.expression[:, jaw], second.expression[:, jaw]) < 0.99
