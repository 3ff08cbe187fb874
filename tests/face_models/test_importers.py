"""Heads from elsewhere: into the head frame with known values, every bad input named, and the real ICT-FaceKit."""

import sys

import numpy as np
import pytest
from foreign_head import EYES, NAMES, TO_HEAD_FRAME, made_up_head, nearest_landmarks, write_obj

from vast_jax import cli
from vast_jax.face.model import ASSET, PART_NAMES, landmarks, load_face_model, vertices
from vast_jax.face_models import ict_facekit, importers
from vast_jax.face_models.importers import face_model_arrays
from vast_jax.types import UserError


@pytest.fixture
def head():
    return made_up_head()


@pytest.fixture
def no_detector(monkeypatch):
    monkeypatch.setattr(importers, "find_correspondence", nearest_landmarks)


@pytest.fixture
def round_trip(tmp_path, no_detector):
    def import_and_load(**arguments):
        path = tmp_path / f"head{len(list(tmp_path.iterdir()))}.npz"
        np.savez(path, **face_model_arrays(**arguments)[0])
        return load_face_model(path)

    return import_and_load


def test_comes_out_in_the_head_frame(head, round_trip):
    model = round_trip(**head)
    np.testing.assert_allclose(model.neutral, head["neutral"] * TO_HEAD_FRAME, atol=1e-3)
    np.testing.assert_allclose(model.eye_centres, [[31.5, -25, -70], [-31.5, -25, -70]], atol=1e-3)
    np.testing.assert_allclose(model.identity_basis, head["identity_basis"] * TO_HEAD_FRAME, atol=4e-3)
    eyes = model.regions["eye_left"] | model.regions["eye_right"]
    expected = head["expression_basis"] * TO_HEAD_FRAME
    np.testing.assert_allclose(model.expression_basis[:, ~eyes], expected[:, ~eyes], atol=1e-2)
    assert not model.expression_basis[:, eyes].any()  # the gaze moves eyeballs
    assert model.expression_names == tuple(NAMES) and not model.expression_low.any()


def test_has_everything_the_shipped_head_has(head, round_trip):
    model, shipped = round_trip(**head), load_face_model()
    assert set(model.regions) == set(shipped.regions) and set(model.paint) == set(shipped.paint)
    for name in ("face", "head", "mouth", "lips", "eyes", "casters"):
        assert 0 < model.regions[name].sum() < len(model.neutral)
    assert not model.regions["teeth"].any()
    assert (model.part[model.regions["lips"]] == PART_NAMES.index("lips")).all()
    x, y, z = model.neutral[model.regions["lips"]].T  # where the shipped head's are
    assert np.abs(x).max() < 35 and y.min() > 20 and y.max() < 70 and z.max() < -50
    assert landmarks(model, vertices(model, np.zeros(2), np.zeros((1, 3)))).shape == (1, 478, 3)


def test_the_frame_and_unit_of_the_file_do_not_matter(head, round_trip):
    to_z_up = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]]) / 100  # x, y, z -> x, -z, y; metres
    turned = head | {key: head[key] @ to_z_up.T for key in ("neutral", "expression_basis", "identity_basis")}
    one, two = round_trip(**head), round_trip(**turned, up=(0, 0, 1), front=(0, -1, 0))
    np.testing.assert_allclose(one.neutral, two.neutral, atol=1e-3)
    np.testing.assert_allclose(one.expression_basis, two.expression_basis, atol=2e-2)
    np.testing.assert_array_equal(one.triangles, two.triangles)


@pytest.mark.parametrize("part", ("skin", "eye_left", "all"))
def test_triangles_wound_inwards_are_turned(head, round_trip, part):
    eye = np.isin(head["triangles"], head["parts"]["eye_left"]).all(1)
    skin = (head["triangles"] < head["parts"]["eye_left"][0]).all(1)
    flipped = {"skin": skin, "eye_left": eye, "all": np.ones(len(eye), bool)}[part]
    triangles = np.where(flipped[:, None], head["triangles"][:, ::-1], head["triangles"])
    model = round_trip(**head | {"triangles": triangles})
    a, b, c = model.neutral[model.triangles].swapaxes(0, 1)
    own_eye = model.eye_centres[np.where(model.regions["eye_left"][model.triangles[:, 0]], 0, 1)]
    is_eye = (model.regions["eye_left"] | model.regions["eye_right"])[model.triangles].all(1)
    outwards = (a + b + c) / 3 - np.where(is_eye[:, None], own_eye, 0)
    assert ((np.cross(b - a, c - a) * outwards).sum(1) > 0).all()


def test_leaves_out_what_is_said_and_what_no_triangle_uses(head, round_trip):
    count = len(head["neutral"])
    lonely = {key: np.concatenate([head[key], head[key][..., :1, :]], -2)
              for key in ("neutral", "expression_basis", "identity_basis")}  # fmt: skip
    crown = np.flatnonzero(head["neutral"][:, 1] > 10)
    model = round_trip(**head | lonely | {"parts": head["parts"] | {"leave_out": crown}})
    assert len(model.neutral) == count - len(crown)
    assert model.neutral[:, 1].min() > -100


def test_gives_eyeballs_to_a_mesh_without(head, round_trip):
    eyeless = head | {"parts": {"leave_out": np.concatenate(list(head["parts"].values()))}, "eye_centres": EYES}
    model = round_trip(**eyeless)
    np.testing.assert_allclose(model.eye_centres, [[31.5, -25, -70], [-31.5, -25, -70]], atol=1e-2)
    for eye, name in enumerate(("eye_left", "eye_right")):
        ball = model.regions[name]
        radius = np.linalg.norm(model.neutral[ball] - model.eye_centres[eye], axis=1)
        np.testing.assert_allclose(radius, 12, atol=1e-2)
        own = model.identity_basis[:, ball]
        np.testing.assert_array_equal(own, np.repeat(own[:, :1], ball.sum(), 1))  # stays a ball in other people


def test_the_hash_names_the_parameter_space(head, no_detector):
    one = face_model_arrays(**head)[0]["hash"]
    assert face_model_arrays(**head)[0]["hash"] == one
    painted = head | {"parts": head["parts"] | {"tongue": np.arange(3)}}
    assert face_model_arrays(**painted)[0]["hash"] == one
    assert face_model_arrays(**head | {"expression_basis": 2 * head["expression_basis"]})[0]["hash"] != one


def test_a_rig_of_one_person_needs_no_identity(head, round_trip):
    del head["identity_basis"]
    assert not round_trip(**head).identity_basis.any()


def test_a_nameless_basis_opens_its_mouth_by_activations(head, round_trip):
    names = np.array(["a", "b", "c"])
    model = round_trip(**head | {"expression_names": names}, jaw_open=[1, 0, 0], expression_low=[-1, 0, -0.5])
    np.testing.assert_allclose(model.expression_low, [-1, 0, -0.5])
    assert model.regions["lips"].any()


def spoil(key, change):
    return lambda head: {key: change(head[key])}


BAD = {
    r"neutral is float64 \[\d+, 2\], should be numbers \[V, 3\]": spoil("neutral", lambda a: a[:, :2]),
    r"neutral has 1 values that are not finite": spoil(
        "neutral", lambda a: np.where(np.arange(a.size).reshape(a.shape) == 7, np.nan, a)
    ),
    r"triangles is int64 \[\d+, 4\].*split quads": spoil("triangles", lambda a: a[:, [0, 1, 2, 2]]),
    r"triangles must name vertices from 0 .*counts? from 1": spoil("triangles", lambda a: a + 1),
    r"triangles is float64": spoil("triangles", lambda a: a.astype(float)),
    r"wound in both ways": spoil("triangles", lambda a: np.where(np.arange(len(a))[:, None] % 3 == 0, a[:, ::-1], a)),
    r"expression_basis is float64 \[2, \d+, 3\], should be numbers \[3, ": spoil("expression_basis", lambda a: a[:2]),
    r"expression_basis moves a vertex by .* offsets from neutral": lambda head: {
        "expression_basis": head["expression_basis"] + 3 * head["neutral"]
    },
    r"expression_basis moves nothing": spoil("expression_basis", lambda a: a * 1e-6),
    r"expression_names must be one list": spoil("expression_names", lambda a: np.array(["jawOpen", "x", "x"])),
    r"no expression is named jawOpen": spoil("expression_names", lambda a: np.array(["a", "b", "c"])),
    r"identity_basis moves a vertex": lambda head: {"identity_basis": head["neutral"][None] * 3},
    r"identity_basis is": spoil("identity_basis", lambda a: a[:, :5]),
    r"expression_low lies between": lambda head: {"expression_low": [-2, 0, 0]},
    r"jaw_open is int64 \[2\]": lambda head: {"jaw_open": [1, 0]},
    r"no triangle belongs to eye_left": lambda head: {"parts": {}},
    r"eye_left must be vertex numbers below": lambda head: {"parts": head["parts"] | {"eye_left": [99999]}},
    r"tongue names vertices that eye_left names too": lambda head: {
        "parts": head["parts"] | {"tongue": head["parts"]["eye_left"]}
    },
    r"not both": lambda head: {"eye_centres": EYES},
    r"no vertex is near the eye_left": lambda head: {
        "parts": {}, "eye_centres": EYES * 1000
    },
    r"left eye is not at the subject's left": lambda head: {
        "parts": {"eye_left": head["parts"]["eye_right"], "eye_right": head["parts"]["eye_left"]}
    },
    r"left eye is not": lambda head: {"front": (0, 0, -1)},
    r"point different ways": lambda head: {"front": (0, 2, 0)},
    r"no nose before and below the eyes": lambda head: {"up": (0, -1, 0), "front": (0, 0, -1)},
}  # fmt: skip


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_named(head, no_detector, message):
    with pytest.raises(UserError, match=f"mine.npz: .*{message}") as error:
        face_model_arrays(**head | BAD[message](head) | {"name": "mine.npz"})
    assert "\n" not in str(error.value)


def flat(head):
    return {key: value for key, value in head.items() if key != "parts"} | head["parts"]


def test_reads_a_file_of_arrays(head, tmp_path):
    np.savez(tmp_path / "mine.npz", **flat(head), up=[0, 1, 0])
    arguments = importers.read_arrays(tmp_path / "mine.npz")
    assert set(arguments) == {*head, "up", "name"} and set(arguments["parts"]) == {"eye_left", "eye_right"}
    np.testing.assert_array_equal(arguments["neutral"], head["neutral"])


@pytest.mark.parametrize(
    "change, message",
    [
        ({"neutrel": 1}, r"unknown neutrel; an import reads identity_basis, .*leave_out"),
        ({"expression_names": np.array(["jawOpen", None], object)}, "not a .npz of plain arrays"),
        ({"neutral": None}, "has no neutral"),
        ({"landmark_triangles": 1}, "is a head file already"),
    ],
)
def test_a_wrong_file_of_arrays_is_a_user_error(head, tmp_path, change, message):
    arrays = {key: value for key, value in (flat(head) | change).items() if value is not None}
    np.savez(tmp_path / "mine.npz", **arrays)
    with pytest.raises(UserError, match=rf"mine\.npz.*{message}"):
        importers.read_arrays(tmp_path / "mine.npz")


@pytest.mark.parametrize("content", [None, b"no archive", b""])
def test_no_file_of_arrays_is_a_user_error(tmp_path, content):
    if content is not None:
        (tmp_path / "mine.npz").write_bytes(content)
    for read in (importers.read_arrays, ict_facekit.read):
        with pytest.raises(UserError, match=r"mine\.npz"):
            read(tmp_path / "mine.npz")


def command(monkeypatch, *argv):
    monkeypatch.setattr(sys, "argv", ["importers", *map(str, argv)])
    cli.run(importers.main)


def test_the_command_writes_head_and_picture(head, tmp_path, no_detector, monkeypatch, capsys):
    np.savez(tmp_path / "mine.npz", **flat(head))
    command(monkeypatch, "arrays", tmp_path / "mine.npz", "--out", tmp_path / "head.npz")
    assert "3 expression parameters" in capsys.readouterr().out
    assert load_face_model(tmp_path / "head.npz").expression_names == tuple(NAMES)
    assert (tmp_path / "head.jpg").stat().st_size > 0


def test_a_bad_fit_writes_the_picture_alone(head, tmp_path, monkeypatch, capsys):
    bad = lambda *arguments: nearest_landmarks(*arguments)._replace(error=np.full((9, 478), 9.0))  # noqa: E731
    monkeypatch.setattr(importers, "find_correspondence", bad)
    np.savez(tmp_path / "mine.npz", **flat(head))
    with pytest.raises(SystemExit) as stop:
        command(monkeypatch, "arrays", tmp_path / "mine.npz", "--out", tmp_path / "head.npz")
    assert stop.value.code == 2 and "fit badly" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["head.jpg", "mine.npz"]


@pytest.mark.parametrize("argv", [["ict", "nowhere"], ["arrays", "nowhere.npz"], ["arrays", "x.npz", "--out", "y.obj"]])
def test_the_command_says_in_one_line_what_is_wrong(tmp_path, monkeypatch, capsys, argv):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        command(monkeypatch, *argv)
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.startswith("error: ") and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.fixture
def obj_folder(head, tmp_path):
    """A folder in ICT-FaceKit's layout, of the made-up head; its faces are two triangles and one pentagon."""
    folder = tmp_path / "ICT-FaceKit" / "FaceXModel"
    folder.mkdir(parents=True)
    write_obj(folder / "generic_neutral_mesh.obj", head["neutral"], [(0, 1, 2), (2, 1, 3), (4, 5, 6, 7, 8)])
    for number, offsets in enumerate(head["identity_basis"]):
        write_obj(folder / f"identity{number:03}.obj", head["neutral"] + offsets)
    for name, offsets in zip(("jawOpen", "browInnerUp_L", "browInnerUp_R"), head["expression_basis"], strict=True):
        write_obj(folder / f"{name}.obj", head["neutral"] + offsets)
    (folder / "vertex_indices.json").write_text("{}")
    return folder


@pytest.mark.parametrize("inside", [True, False])
def test_reads_a_folder_of_obj_files(head, obj_folder, inside):
    neutral, triangles, identity, shapes = ict_facekit.read_folder(obj_folder if inside else obj_folder.parent)
    np.testing.assert_allclose(neutral, head["neutral"], atol=1e-6)
    assert triangles.tolist() == [[0, 1, 2], [2, 1, 3], [4, 5, 6], [4, 6, 7], [4, 7, 8]]
    np.testing.assert_allclose(identity, head["identity_basis"], atol=1e-5)
    assert set(shapes) == {"jawOpen", "browInnerUp_L", "browInnerUp_R"}
    np.testing.assert_allclose(shapes["browInnerUp_R"], head["expression_basis"][2], atol=1e-5)


def test_another_topology_is_not_taken_for_ict(obj_folder):
    with pytest.raises(UserError, match="1824 vertices where ICT-FaceKit has 26719"):
        ict_facekit.read(obj_folder)


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("generic_neutral_mesh.obj", None, "has no generic_neutral_mesh.obj"),
        ("identity000.obj", "v 1 2 3\n", r"identity000\.obj has 1 vertices, .* has 1824"),
        ("jawOpen.obj", "v 1 two 3\n", r"jawOpen\.obj: not a readable OBJ"),
        ("generic_neutral_mesh.obj", "v 1 2 3\nf a b c\n", r"mesh\.obj: not a readable OBJ"),
        ("identity*.obj", None, r"has no identity000\.obj"),
        ("[jb]*.obj", None, "has no expression shapes"),
    ],
)
def test_an_incomplete_folder_is_a_user_error(obj_folder, name, content, message):
    for path in obj_folder.glob(name):
        path.unlink() if content is None else path.write_text(content)
    with pytest.raises(UserError, match=message):
        ict_facekit.read_folder(obj_folder)


def test_names_become_arkits():
    one = np.ones((4, 3))
    shapes = {"browDown_L": one, "eyeLookIn_R": 2 * one, "browInnerUp_L": one, "browInnerUp_R": 3 * one, "jawOpen": one,
              "PupilDilate_L": one, "cheekRaiser_R": one, "cheekPuff_R": one, "cheekPuff_L": one,
              "wink_wide": one}  # fmt: skip
    names, basis, left_out = ict_facekit.to_arkit(shapes)
    assert names.tolist() == ["browDownLeft", "eyeLookInRight", "browInnerUp", "jawOpen", "cheekPuff", "wink_wide"]
    assert basis[:, 0, 0].tolist() == [1, 2, 4, 1, 2, 1]
    assert left_out == ["PupilDilate_L", "cheekRaiser_R"]


@pytest.mark.slow
def test_the_shipped_head_comes_back_from_plain_arrays():
    """In metres, y up, wound inwards, with nothing named but the eyes, teeth, tongue and the mouth's inside."""
    shipped = load_face_model()
    with np.load(ASSET) as file:
        kind = np.array(PART_NAMES)[file["part"]]
        parts = {name: kind == name for name in ("eye_left", "eye_right", "upper_teeth", "lower_teeth", "tongue")}
        parts["mouth_inside"] = file["region_inside"]
        axes = np.array([1, -1, -1]) / 1000
        arrays, found = face_model_arrays(
            shipped.neutral * axes + [0.3, 1.7, 0.1],
            shipped.triangles[:, ::-1],
            shipped.expression_basis * axes,
            np.array(shipped.expression_names),
            shipped.identity_basis * axes,
            parts,
        )
    np.testing.assert_allclose(arrays["neutral"], shipped.neutral, atol=0.3)  # the eyes' centres are fitted
    assert found.error.mean() < 1.2
    corners = arrays["neutral"][arrays["landmark_triangles"].astype(int)]
    places = np.einsum("lk,lkc->lc", arrays["landmark_weights"], corners)
    expected = np.einsum("lk,lkc->lc", shipped.landmark_weights, shipped.neutral[shipped.landmark_triangles])
    distance = np.linalg.norm(places - expected, axis=1)
    assert np.median(distance) < 1 and np.quantile(distance, 0.95) < 4  # without its own hair and lips
    assert arrays["region_brows"].any()
    for name in ("face", "mouth", "lips"):
        ours, theirs = arrays[f"region_{name}"], shipped.regions[name]
        assert (ours & theirs).sum() > 0.7 * (ours | theirs).sum()


@pytest.mark.slow
def test_reads_the_real_ict_facekit(shared_data, tmp_path, monkeypatch):
    path = shared_data / "face_models" / "ict_facekit_f16.npz"
    if not path.is_file():
        pytest.skip("ICT-FaceKit is not here")
    command(monkeypatch, "ict", path, "--out", tmp_path / "ict.npz")
    model = load_face_model(tmp_path / "ict.npz")
    assert len(model.expression_names) == 51 and set(model.expression_names) < set(load_face_model().expression_names)
    assert len(model.identity_basis) == 100 and len(model.neutral) < ict_facekit.VERTICES
    assert model.eye_centres[0, 0] - model.eye_centres[1, 0] == pytest.approx(63, abs=0.1)
    shipped = load_face_model()
    ours, theirs = (landmarks(m, m.neutral[None])[0] for m in (model, shipped))
    assert np.median(np.linalg.norm(ours - theirs, axis=1)) < 8  # mm: both are mean heads
    drop = model.expression_basis[model.expression_names.index("jawOpen")][:, 1]
    assert np.abs(drop[model.part == PART_NAMES.index("upper_teeth")]).max() < 1
    assert drop[model.part == PART_NAMES.index("lower_teeth")].min() > 8
    left = np.linalg.norm(model.expression_basis[model.expression_names.index("eyeBlinkLeft")], axis=1)
    assert model.neutral[left.argmax(), 0] > 0
