import dataclasses
import json
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from footage import ACOUSTIC, made_up_avatar, made_up_clip

from vast_jax.audio import ppg_windows
from vast_jax.data.clips import encode_jpeg
from vast_jax.face.eroded_background import FEATHER, Window, envelope_of, views
from vast_jax.face.mesh_image import draw_mesh
from vast_jax.generation.avatar import shorten
from vast_jax.generation.avatar_bundle import load_avatar, save_avatar
from vast_jax.generation.frame_renderer import _moved
from vast_jax.models.renderer import REDUCTION, composite, conditions
from vast_jax.types import UserError, subset


@pytest.fixture(scope="module")
def clip():
    return made_up_clip()


@pytest.fixture(scope="module")
def actor(clip):
    return made_up_avatar([clip])


@pytest.fixture(scope="module")
def rendered(actor, clip):
    return actor.render(clip, clip.track.expression)


def beyond_the_edge(holes: np.ndarray) -> np.ndarray:
    """The pixels that neither a hole of [N, H, W] nor its soft edge touches."""
    rows, columns = np.nonzero(holes.any(0))
    beyond = np.ones(holes.shape[1:], bool)
    margin = FEATHER
    beyond[rows.min() - margin : rows.max() + margin + 1, columns.min() - margin : columns.max() + margin + 1] = False
    assert beyond.any()
    return beyond


def test_frame_by_frame_makes_what_the_whole_sequence_makes(actor, clip, rendered):
    poses = [subset(clip.track, [t]) for t in range(len(clip))]
    seen = list(views(envelope_of(actor.face_model, clip.track), poses, actor.region, REDUCTION))
    (window,) = {window for *_, window in seen}
    mesh = window.cut(draw_mesh(actor.face_model, clip.track, clip.track.expression, actor.texture))
    mesh, frames = (jnp.float32(x)[None] / 127.5 - 1 for x in (mesh, window.cut(clip.frames())))
    soft = jnp.float32(np.stack([hole for _, hole, _ in seen]))[None] / 255
    conditioned = conditions(mesh, frames, soft)
    whole, _ = actor.renderer.apply({"params": actor.params}, *conditioned, ppg_windows(clip.ppg)[None])
    want = (composite(whole, frames, soft)[0] + 1) * 127.5
    error = np.abs(window.cut(rendered) - want)
    assert np.quantile(error, 0.9999) < 0.6 and error.max() < 30  # on the edge of two parts a pixel may be either's


def test_what_is_remembered_stays_where_it_was_when_the_window_moves():
    everywhere = np.random.default_rng(0).normal(size=(1, 32, 32, 3))

    def of(window):
        top, left, cells = (value // REDUCTION for value in window)
        return everywhere[:, top : top + cells, left : left + cells]

    before = Window(40, 40, 80)
    np.testing.assert_array_equal(_moved(of(before), before, before), of(before))
    down_left, up_right = Window(56, 32, 80), Window(32, 64, 80)
    after = _moved(of(before), before, down_left)
    np.testing.assert_array_equal(after[:, :-2, 1:], of(down_left)[:, :-2, 1:])
    assert (after[:, -2:] == 0).all() and (after[:, :, :1] == 0).all()
    after = _moved(of(before), before, up_right)
    np.testing.assert_array_equal(after[:, 1:, :-3], of(up_right)[:, 1:, :-3])


def test_a_head_that_moves_across_the_picture_is_followed(actor):
    moving = made_up_clip(frames=8, shift=50.0)
    made, holes = actor.render(moving, moving.track.expression), actor.holes(moving)
    beyond = beyond_the_edge(holes)
    np.testing.assert_array_equal(made[:, beyond], moving.frames()[:, beyond])
    middle = np.array([np.nonzero(hole)[1].mean() for hole in holes])
    face = moving.track.landmarks[..., 0].mean(1)
    assert np.ptp(face) > 40
    np.testing.assert_allclose(middle - middle[0], face - face[0], rtol=0.15, atol=1)  # ears are further than lips
    assert np.ptp(holes.sum((1, 2))) < 0.1 * holes[0].sum()


def test_the_template_shows_outside_the_hole_bit_for_bit(actor, clip, rendered):
    holes, real = actor.holes(clip), clip.frames()
    beyond = beyond_the_edge(holes)
    np.testing.assert_array_equal(rendered[:, beyond], real[:, beyond])
    assert (rendered[holes] != real[holes]).mean() > 0.9


def test_nothing_inside_the_hole_is_seen(actor, clip, rendered):
    blank_frames = clip.frames()
    blank_frames[actor.holes(clip)] = 7
    blank = SimpleNamespace(frame=lambda i: blank_frames[i], name=clip.name, track=clip.track)
    order = np.arange(len(clip))
    again = np.stack(list(actor._play(blank, order, clip.track.expression, clip.ppg)))
    np.testing.assert_array_equal(again, rendered)


def test_expression_and_speech_change_the_hole_only(actor, clip, rendered):
    other = actor.render(clip, np.zeros_like(clip.track.expression))
    assert (other != rendered).any()
    silent = actor.render(dataclasses.replace(clip, ppg=np.zeros_like(clip.ppg)), clip.track.expression)
    assert (silent != rendered).any()
    deaf = dataclasses.replace(actor, acoustic_model=None).render(clip, clip.track.expression)
    np.testing.assert_array_equal(deaf, silent)  # trained without sound: none is given


def test_a_performance_of_any_length_loops_the_template(actor, clip):
    n = 2 * len(clip) + 1
    performance = SimpleNamespace(expression=np.zeros((n, clip.track.expression.shape[1]), np.float32))
    performance.ppg = np.zeros((n, 41), np.float32)
    frames = list(actor.frames(performance))
    assert len(frames) == n and {frame.shape for frame in frames} == {(*actor.size[::-1], 3)} == {(256, 256, 3)}
    outside = beyond_the_edge(actor.holes(clip))
    np.testing.assert_array_equal(frames[len(clip)][outside], clip.frame(len(clip) - 2)[outside])


def test_a_bundle_comes_back(actor, clip, tmp_path):
    save_avatar(actor, tmp_path / "a", {"mean_expression": np.zeros(3, np.float32)}, {"l1": 1.0})
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "manifest.json",
        "renderer.json",
        "renderer.safetensors",
        "template",
    ]
    again = load_avatar(tmp_path / "a", actor.face_model, ACOUSTIC)
    assert (again.person, again.region, again.composite) == ("s1", actor.region, True)
    assert again.card["figures"] == {"l1": 1.0} and "consent" in again.card
    assert "CC-BY" in again.card["licence"]
    np.testing.assert_array_equal(again.template.frame(1), clip.frame(1))
    one, two = (a.render(shorten(clip, 2), clip.track.expression[:2]) for a in (actor, again))
    assert np.abs(one.astype(int) - two).max() <= 4  # float16 weights


def test_what_does_not_fit_is_said(actor, tmp_path):
    with pytest.raises(UserError, match="no such avatar"):
        load_avatar(tmp_path / "none", actor.face_model, ACOUSTIC)
    save_avatar(actor, tmp_path / "a")
    with pytest.raises(UserError, match="another face model"):
        load_avatar(tmp_path / "a", SimpleNamespace(hash="other"), ACOUSTIC)
    with pytest.raises(UserError, match="another acoustic model"):
        load_avatar(tmp_path / "a", actor.face_model, SimpleNamespace(hash="other"))
    card = tmp_path / "a" / "renderer.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"part": "style"}))
    with pytest.raises(UserError, match=r"renderer\.json is not the file that manifest\.json lists"):
        load_avatar(tmp_path / "a", actor.face_model, ACOUSTIC)
    as_before_manifests(tmp_path / "a", {"part": "style"})
    with pytest.raises(UserError, match="'style'"):
        load_avatar(tmp_path / "a", actor.face_model, ACOUSTIC)
    as_before_manifests(tmp_path / "a", {"part": "renderer"})
    (tmp_path / "a" / "template" / "clip.npz").unlink()
    with pytest.raises(UserError, match="not a whole avatar"):
        load_avatar(tmp_path / "a", actor.face_model, ACOUSTIC)


def as_before_manifests(folder, changes):
    """A bundle as versions wrote it that knew no manifest, its card changed."""
    (folder / "manifest.json").unlink(missing_ok=True)
    card = json.loads((folder / "renderer.json").read_text()) | changes
    card.pop("manifest", None)
    (folder / "renderer.json").write_text(json.dumps(card))


def test_every_file_of_a_bundle_is_covered_and_older_bundles_load(actor, clip, tmp_path):
    save_avatar(actor, tmp_path / "a")
    for name in ("template/frames.bin", "template/clip.npz", "renderer.json", "renderer.safetensors"):
        path = tmp_path / "a" / name
        whole = path.read_bytes()
        path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
        with pytest.raises(UserError, match=f"{path.name} is not the file that manifest.json lists"):
            load_avatar(tmp_path / "a", actor.face_model, ACOUSTIC)
        path.write_bytes(whole)
    (tmp_path / "a" / "manifest.json").rename(tmp_path / "aside")
    with pytest.raises(UserError, match=r"lacks manifest\.json"):
        load_avatar(tmp_path / "a", actor.face_model, ACOUSTIC)
    as_before_manifests(tmp_path / "a", {})
    again = load_avatar(tmp_path / "a", actor.face_model, ACOUSTIC)
    np.testing.assert_array_equal(again.template.frame(1), clip.frame(1))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"widths": [10**9, 32, 64]}, "widths"),
        ({"widths": [4, 4]}, "widths"),
        ({"ppg_features": True}, "ppg_features"),
        ({"recurrence_kernel": 0}, "recurrence_kernel"),
        ({"upsampling": "__import__"}, "upsampling"),
        ({"region": 10**9}, "region"),
        ({"region": 176.0}, "region"),
        ({"composite": "yes"}, "region"),
        ({"depth": 3}, "another version"),
    ],
)
def test_a_card_cannot_ask_for_what_no_avatar_has(actor, tmp_path, changes, said):
    save_avatar(actor, tmp_path / "a")
    config = json.loads((tmp_path / "a" / "renderer.json").read_text())["config"]
    as_before_manifests(tmp_path / "a", {"config": config | changes})
    with pytest.raises(UserError, match=said):
        load_avatar(tmp_path / "a", actor.face_model, ACOUSTIC)


def test_a_template_that_is_not_the_faces_is_refused(actor, clip, tmp_path):
    behind = clip.track._replace(translation=-clip.track.translation)
    wide = dataclasses.replace(clip, jpegs=[encode_jpeg(np.zeros((16, 16, 3), np.uint8))] * len(clip))
    for template, said in ((dataclasses.replace(clip, track=behind), "no camera"), (wide, "256 pixels")):
        folder = tmp_path / said.replace(" ", "")
        save_avatar(dataclasses.replace(actor, template=template), folder)
        with pytest.raises(UserError, match=said):
            load_avatar(folder, actor.face_model, ACOUSTIC)


def test_a_face_beyond_the_window_is_refused(actor, clip):
    narrow = dataclasses.replace(actor, region=96)
    with pytest.raises(UserError, match="larger than the 96 pixels"):
        narrow.render(clip, clip.track.expression)


def test_the_longest_clip_is_the_template_and_not_too_long():
    clips = [made_up_clip(frames=2), made_up_clip("mine/b", frames=3)]
    actor = made_up_avatar(clips)
    assert len(actor.template) == 3 and actor.card["licence"] == "that of the footage"
    short = shorten(clips[1], 2)
    assert len(short) == len(short.jpegs) == len(short.ppg) == 2 and len(short.speech_int16) == 1280
