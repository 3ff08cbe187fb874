import csv
import dataclasses
from fractions import Fraction

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vast_jax import curves
from vast_jax.animation import arkit
from vast_jax.animation.curves import Curves, fit_length, frame_rate, resample
from vast_jax.animation.live_link import read_csv, timecode, write_csv
from vast_jax.face.model import landmarks, load_face_model, vertices
from vast_jax.generation.prompt import Prompt, save_style
from vast_jax.types import UserError

# The header of recordings of Apple's iPhones by Live Link Face, which strict readers compare by position.
HEADER = """Timecode,BlendshapeCount,EyeBlinkLeft,EyeLookDownLeft,EyeLookInLeft,EyeLookOutLeft,EyeLookUpLeft,
EyeSquintLeft,EyeWideLeft,EyeBlinkRight,EyeLookDownRight,EyeLookInRight,EyeLookOutRight,EyeLookUpRight,EyeSquintRight,EyeWideRight,
JawForward,JawRight,JawLeft,JawOpen,MouthClose,MouthFunnel,MouthPucker,MouthRight,MouthLeft,MouthSmileLeft,
MouthSmileRight,MouthFrownLeft,MouthFrownRight,MouthDimpleLeft,MouthDimpleRight,MouthStretchLeft,MouthStretchRight,
MouthRollLower,MouthRollUpper,MouthShrugLower,MouthShrugUpper,MouthPressLeft,MouthPressRight,MouthLowerDownLeft,
MouthLowerDownRight,MouthUpperUpLeft,MouthUpperUpRight,BrowDownLeft,BrowDownRight,BrowInnerUp,BrowOuterUpLeft,
BrowOuterUpRight,CheekPuff,CheekSquintLeft,CheekSquintRight,NoseSneerLeft,NoseSneerRight,TongueOut,HeadYaw,HeadPitch,
HeadRoll,LeftEyeYaw,LeftEyePitch,LeftEyeRoll,RightEyeYaw,RightEyePitch,RightEyeRoll""".replace("\n", "").split(",")


@pytest.fixture(scope="module")
def model():
    """The shipped head with one more shape, of two signs, that ARKit does not know."""
    head = load_face_model()
    return dataclasses.replace(
        head,
        expression_basis=np.concatenate([head.expression_basis, head.expression_basis[:1]]),
        expression_names=(*head.expression_names, "corrective99"),
        expression_low=np.append(head.expression_low, np.float32(-1)),
    )


def moving(model, count: int, fps=25) -> Curves:
    random = np.random.default_rng(0)
    expression = random.uniform(model.expression_low, 1, (count, len(model.expression_names)))
    shapes = ((count, 3), (count, 3), (count, 4))
    return Curves.of(expression, *(random.uniform(-0.5, 0.5, shape) for shape in shapes), fps=fps)


def column(model, name: str) -> int:
    return model.expression_names.index(name)


def table(path) -> dict[str, list[str]]:
    rows = list(csv.reader(path.read_text().splitlines()))
    return dict(zip(rows[0], zip(*rows[1:], strict=True), strict=True))


@pytest.mark.parametrize("count", [3, 60])
def test_our_own_file_brings_back_every_value_as_printed(tmp_path, model, count):
    written = moving(model, count)
    write_csv(tmp_path / "a.csv", model, written)
    said = []
    read = read_csv(tmp_path / "a.csv", model, say=said.append)
    np.testing.assert_allclose(read.expression, written.expression, atol=6e-7)
    np.testing.assert_allclose(read.gaze, written.gaze, atol=6e-7)
    np.testing.assert_allclose(read.rotation, written.rotation, atol=4e-6)  # angles rounded, then another form of them
    assert read.fps == 25 and not said


def test_the_layout_is_that_of_live_link_face(tmp_path, model):
    write_csv(tmp_path / "a.csv", model, moving(model, 4), arkit_only=True)
    write_csv(tmp_path / "b.csv", model, moving(model, 4))
    strict, whole = table(tmp_path / "a.csv"), table(tmp_path / "b.csv")
    assert list(strict) == HEADER and list(whole)[:63] == HEADER and list(whole)[-1] == "corrective99"
    assert strict["BlendshapeCount"] == ("61",) * 4
    assert strict["Timecode"][:2] == ("00:00:00:00.000", "00:00:00:01.000")


@pytest.mark.parametrize("fps", [24, 25, 29.97, 30, 50, 59.94, 60, 120])
def test_any_rate_keeps_the_duration_and_comes_back(tmp_path, model, fps):
    written = moving(model, 251)
    times = np.arange(251) / 25
    hertz = np.linspace(0.3, 4, len(model.expression_names))
    written = written._replace(expression=(0.5 + 0.4 * np.sin(2 * np.pi * times[:, None] * hertz)).astype(np.float32))
    out = resample(written, fps)
    rate = float(frame_rate(fps))
    assert abs(len(out.expression) / rate - 251 / 25) <= 0.5 / rate + 1e-9
    true = 0.5 + 0.4 * np.sin(2 * np.pi * np.arange(len(out.expression))[:, None] / rate * hertz)
    inside = slice(8, -8)  # at the ends a curve is held, for nobody knows how it went on
    np.testing.assert_allclose(out.expression[inside], true[inside], atol=0.016)
    write_csv(tmp_path / "a.csv", model, out)
    read = read_csv(tmp_path / "a.csv", model)
    assert abs(len(read.expression) - 251) <= (rate < 25)
    np.testing.assert_allclose(read.expression[8:240], written.expression[8:240], atol=0.025)


def test_what_25_rows_a_second_cannot_show_is_filtered_out_not_folded_down(model):
    fast = np.zeros((600, len(model.expression_names)), np.float32)
    fast[:, 0] = 0.5 + 0.4 * np.sin(2 * np.pi * 21 * np.arange(600) / 60)  # would come out as 4 Hz
    slow = resample(Curves.of(fast, fps=60), 25)
    assert np.abs(slow.expression[10:-10, 0] - 0.5).max() < 0.02


def test_timecodes_count_frames():
    assert timecode(30 * 3600 + 31, Fraction(30)) == "01:00:01:01.000"
    assert timecode(1798, frame_rate(29.97)) == "00:00:59:28.000"
    assert timecode(119, Fraction(120)) == "00:00:00:119.000"
    assert frame_rate(29.97) == Fraction(30000, 1001) and frame_rate(23.976) == Fraction(24000, 1001)
    assert frame_rate(12.5) == Fraction(25, 2)
    with pytest.raises(UserError, match="frame rate"):
        frame_rate(0)


def test_time_of_29_97_is_exact(tmp_path, model):
    write_csv(
        tmp_path / "a.csv", model, Curves.of(np.zeros((3000, len(model.expression_names))), fps=frame_rate(29.97))
    )
    times = np.array(table(tmp_path / "a.csv")["Time"], float)
    np.testing.assert_allclose(times, np.arange(3000) * 1001 / 30000, atol=5e-7)
    assert len(read_csv(tmp_path / "a.csv", model).expression) == round(3000 * 1001 / 30000 * 25)


def test_angles_are_arkits():
    # ARKit: x to the subject's left, y up, z out of the face; ours: y down, z away. Oracle: SciPy's Euler angles.
    ours = np.random.default_rng(1).uniform(-0.6, 0.6, (20, 3))
    turned = Rotation.from_rotvec(ours * [1, -1, -1])
    np.testing.assert_allclose(arkit.angles(ours), turned.as_euler("YXZ"), atol=1e-6)
    np.testing.assert_allclose(arkit.rotation(turned.as_euler("YXZ")), ours, atol=1e-6)
    to_left, down, to_right_shoulder = arkit.rotation(np.diag([0.3, 0.3, 0.3]))
    assert (Rotation.from_rotvec(to_left).apply([0, 0, -1]))[0] > 0.2  # the subject's left is the image's right
    assert (Rotation.from_rotvec(down).apply([0, 0, -1]))[1] > 0.2
    assert (Rotation.from_rotvec(to_right_shoulder).apply([0, -1, 0]))[0] < -0.2


def test_gaze_shows_in_the_look_shapes_and_the_lids_keep_theirs(tmp_path, model):
    lids = np.zeros((1, len(model.expression_names)), np.float32)
    lids[0, column(model, "eyeLookDownLeft")] = 0.7
    write_csv(tmp_path / "a.csv", model, Curves.of(lids, gaze=[[0.3, -0.2, 0.3, -0.2]]))
    row = {name: float(values[0]) for name, values in table(tmp_path / "a.csv").items() if name != "Timecode"}
    assert row["EyeLookDownLeft"] == 0 and row["LidEyeLookDownLeft"] == pytest.approx(0.7)
    assert row["EyeLookOutLeft"] == row["EyeLookInRight"] == pytest.approx(0.3 / np.radians(30), abs=1e-6)
    assert row["EyeLookUpLeft"] == row["EyeLookUpRight"] > 0 and row["EyeLookInLeft"] == row["EyeLookOutRight"] == 0
    write_csv(tmp_path / "b.csv", model, Curves.of(lids * 0, gaze=[[0.3, -0.2, 0.3, -0.2]]), arkit_only=True)
    text = (tmp_path / "b.csv").read_text().replace("EyeYaw", "EyeYow").replace("EyePitch", "EyePotch")
    (tmp_path / "b.csv").write_text(text)
    np.testing.assert_allclose(read_csv(tmp_path / "b.csv", model).gaze, [[0.3, -0.2, 0.3, -0.2]], atol=1e-5)


def test_a_blink_of_one_closes_the_eye_and_no_more(tmp_path, model):
    """ARKit's eyeBlink closes at 1; whatever ours does, lids driven by a foreign file just meet."""
    (tmp_path / "a.csv").write_text("Time,EyeBlinkLeft,EyeBlinkRight\n0,0,0\n0.04,1,1\n")
    read = read_csv(tmp_path / "a.csv", model)
    mesh = vertices(model, np.zeros(len(model.identity_basis)), read.expression)
    open_, shut = landmarks(model, mesh) - model.landmark_offset
    for upper, lower in ((386, 374), (159, 145)):
        assert abs(shut[lower, 1] - shut[upper, 1]) < 0.05 * (open_[lower, 1] - open_[upper, 1])
    write_csv(tmp_path / "b.csv", model, read, arkit_only=True)
    assert table(tmp_path / "b.csv")["EyeBlinkLeft"][1] == "1.000000"


def read_text(tmp_path, model, text: str, **options):
    path, said = tmp_path / "given.csv", []
    path.write_text(text)
    return read_csv(path, model, say=said.append, **options), " | ".join(said)


@pytest.mark.parametrize(
    "header", ["jawOpen,mouthSmile_L", "JAWOPEN,mouthSmileLeft", "blendShapes.JawOpen,Mouth_Smile_Left"]
)
def test_names_of_other_programs(tmp_path, model, header):
    read, said = read_text(
        tmp_path, model, f"timeCode,{header},blush\n" + "".join(f"{i / 25},0.5,2,1\n" for i in range(5))
    )
    assert len(read.expression) == 5
    assert (read.expression[:, column(model, "jawOpen")] == 0.5).all()
    assert (read.expression[:, column(model, "mouthSmileLeft")] == 1).all()  # clipped
    assert np.count_nonzero(read.expression) == 10 and "ignored columns: blush" in said


def test_percent_degrees_semicolons_and_rows_without_a_face(tmp_path, model):
    rows = "".join(f"00:00:01:{i:02d};{'61;50;20' if i != 2 else '0'}\n" for i in range(10)) + "00:00:02:00;61;50;20\n"
    read, said = read_text(tmp_path, model, "\ufeffTimecode;BlendShapeCount;JawOpen;HeadYaw\n" + rows)
    np.testing.assert_allclose(read.expression[:, column(model, "jawOpen")], 0.5, atol=1e-6)
    np.testing.assert_allclose(arkit.angles(read.rotation)[:, 0], np.radians(20), atol=1e-6)
    assert "percent" in said and "degrees" in said and "1 rows without values" in said


def test_a_recording_with_subframes_and_lost_frames_keeps_its_time(tmp_path, model):
    """60 a second, in the middle of a day, rows late by parts of a frame and some left out: a ramp stays a ramp."""
    late = np.random.default_rng(0).uniform(0, 0.9, 240)
    lines = []
    for i in range(240):
        seconds, frame = divmod(30 + i, 60)
        clock = f"10:59:{58 + seconds:02d}" if seconds < 2 else f"11:00:{seconds - 2:02d}"
        if i % 7:
            lines.append(f"{clock}:{frame + late[i]:06.3f},61,{(i + late[i]) / 300:.6f}")
    read, said = read_text(tmp_path, model, "Timecode,BlendShapeCount,JawOpen\n" + "\n".join(lines))
    jaw = read.expression[:, column(model, "jawOpen")]
    first = (1 + late[1]) / 300
    np.testing.assert_allclose(jaw[4:-4], (first + np.arange(len(jaw)) / 25 * 60 / 300)[4:-4], atol=2e-3)
    assert not said


def test_the_rate_can_be_given_and_is_guessed_aloud(tmp_path, model):
    rows = "JawOpen\n" + "0.5\n" * 120
    read, said = read_text(tmp_path, model, rows)
    assert len(read.expression) == 50 and "60 rows a second" in said
    read, said = read_text(tmp_path, model, rows, fps=24)
    assert len(read.expression) == 125 and not said
    read, said = read_text(tmp_path, model, "Timecode,JawOpen\n" + "".join(f"0:0:0:{i},1\n" for i in range(30)))
    assert len(read.expression) == round(30 / 60 * 25) and "60 rows a second" in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("Timecode,JawOpen\n", "no rows"),
        ("a,b\n1,2\n", "no column of a known name"),
        ("JawOpen\n0.1\nmany\n", "line 3, column jawopen: 'many' is no number"),
        ("JawOpen\n0.1\n\nnan\n", "line 4, column jawopen: 'nan' is no number"),
        ("JawOpen,JawLeft\n0.1,0\n0.1\n", "line 3, column jawleft: no value"),
        ("Timecode,JawOpen\n00:00:00:01,0\n00:00:00:00,0\n", "line 3: its time is not after"),
        ("Timecode,JawOpen\n0.1,0\n0.1,0\n", "line 3: its time is not after"),
        ("Timecode,JawOpen\n00:00:00:01,0\nlater,0\n", "line 3: 'later' is no timecode"),
        ("JawOpen,jaw_open\n0,0\n", "two columns jawopen"),
        ("JawOpen\n1000\n", "neither 0 to 1 nor 0 to 100"),
        ("Timecode,JawOpen\n0.1,\n", "no row has values"),
    ],
)
def test_bad_files_are_told_in_one_line(tmp_path, model, text, words):
    with pytest.raises(UserError, match=words) as error:
        read_text(tmp_path, model, text)
    assert "given.csv" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Time,JawOpen\n0,0\nnan,0\n", "'nan' is no timecode"),
        ("Time,JawOpen\n0,0\n1e300,0\n", "'1e300' is no timecode"),
        (f"Timecode,JawOpen\n{'9' * 400}:00:00:00,0\n0:0:0:1,0\n", "is no timecode"),
        ("Time,JawOpen\n0,0\n0.01,0\n0.02,0\n900000000,0\n", "cut it"),
        ("Timecode,JawOpen\n00:00:00:00,0\n00:00:00:9999999,0\n", "frames a second"),
        ("Timecode,JawOpen\n00:00:00:00,0\n9999:00:00:01,0\n", "cut it"),
        ("JawOpen," + ",".join(f"c{i}" for i in range(5000)) + "\n0\n", "5001 columns"),
        ("JawOpen\n" + "1" * 200_000 + "\n", "field larger than field limit"),
        ("JawOpen\n1e400\n", "'1e400' is no number"),
    ],
)
def test_absurd_files_are_told_before_they_take_memory(tmp_path, model, text, words):
    with pytest.raises(UserError, match=words):
        read_text(tmp_path, model, text)


def test_no_file_and_no_text(tmp_path, model):
    with pytest.raises(UserError, match="no such file"):
        read_csv(tmp_path / "none.csv", model)
    (tmp_path / "picture.csv").write_bytes(bytes(range(256)))
    with pytest.raises(UserError, match="not a text file"):
        read_csv(tmp_path / "picture.csv", model)


def test_length_is_cut_or_held(model):
    three = moving(model, 3)
    assert (fit_length(three, 2).expression == three.expression[:2]).all()
    held = fit_length(three, 5)
    assert (held.gaze[2:] == three.gaze[2]).all() and len(held.rotation) == 5


def test_command_exports_a_style(tmp_path, capsys):
    head = load_face_model()
    expression = np.random.default_rng(0).uniform(0, 1, (50, len(head.expression_names))).astype(np.float16)
    prompt = Prompt(expression, np.zeros((50, 41)), False, head.hash, "", "")
    save_style(tmp_path / "a.style", prompt)
    curves.main([str(tmp_path / "a.style"), "--out", str(tmp_path / "a.csv"), "--fps", "25"])
    np.testing.assert_allclose(read_csv(tmp_path / "a.csv", head).expression, expression.astype(float), atol=1e-6)
    assert "50 rows at 25 a second, 2.00 s" in capsys.readouterr().out
    for arguments, words in (
        (["a.style", "--out", "a.csv"], "exists already"),
        (["a.style", "--out", "a.fbx"], "must end in .csv or .glb"),
        (["a.style", "--out", "b.csv", "--fps", "0"], "frame rate"),
    ):
        with pytest.raises(SystemExit):
            curves.main([str(tmp_path / arguments[0]), arguments[1], str(tmp_path / arguments[2]), *arguments[3:]])
        assert words in capsys.readouterr().err
