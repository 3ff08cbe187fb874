import dataclasses
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vast_jax.data import builders
from vast_jax.data.clips import Clip, decode_jpeg, encode_jpeg, load_clip, save_clip
from vast_jax.data.pipeline import open_clips
from vast_jax.types import FaceTrack, UserError


def make_clip(name: str, frames: int = 5, size: int = 16, face_model: str = "head") -> Clip:
    """A clip of random tracks, whose k-th picture has the plain grey 10 k."""
    rng = np.random.default_rng(sum(map(ord, name)))

    def normal(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    track = FaceTrack(
        identity=normal(6),
        expression=normal(frames, 7),
        rotation=normal(frames, 3),
        translation=normal(frames, 3),
        gaze=normal(frames, 4),
        landmarks=normal(frames, 478, 3),
        valid=np.ones(frames, bool),
        crop=normal(3),
        source_size=np.asarray([360, 288], np.int32),
        focal=431.3,
        fps=29.97,
        face_model=face_model,
    )
    return Clip(
        name=name,
        person=name.split("/")[0],
        fingerprint=f"print of {name}",
        track=track,
        speech_int16=rng.integers(-9, 9, 640 * frames).astype(np.int16),
        has_speech=True,
        ppg=normal(frames, 41),
        ppg_hash="acoustic",
        jpegs=[encode_jpeg(np.full((size, size, 3), 10 * k, np.uint8)) for k in range(frames)],
    )


def assert_same(one: Clip, other: Clip) -> None:
    for field in dataclasses.fields(Clip):
        if field.name == "track":
            continue
        mine, yours = getattr(one, field.name), getattr(other, field.name)
        assert np.array_equal(list(mine), list(yours)) if field.name == "jpegs" else np.array_equal(mine, yours)
    for name, mine in one.track._asdict().items():
        yours = getattr(other.track, name)
        assert np.array_equal(mine, yours) and getattr(mine, "dtype", None) == getattr(yours, "dtype", None), name


def test_a_staged_clip_comes_back(tmp_path):
    clip = make_clip("a/b/c")
    save_clip(tmp_path / "clip", clip)
    assert_same(load_clip(tmp_path / "clip"), clip)


def restaged(folder, **changes):
    """A staged clip with arrays changed (None: left out)."""
    with np.load(folder / "clip.npz", allow_pickle=False) as file:
        arrays = dict(file) | changes
    np.savez(folder / "clip.npz", **{name: array for name, array in arrays.items() if array is not None})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ends": np.array([3, 2, 1])}, "holds no clip"),
        ({"ends": None}, "holds no clip"),
        ({"ends": np.zeros(0, int)}, "holds no clip"),
        ({"more": np.zeros(3)}, "holds no clip"),
        ({"track_rotation": np.zeros((1, 3))}, "holds no clip"),
        ({"track_valid": np.ones(5, int)}, "holds no clip"),
        ({"track_focal": np.array(1e9)}, "holds no clip"),
        ({"track_focal": np.array(np.nan)}, "not finite"),
        ({"name": np.array(3)}, "holds no clip"),
        ({"ppg": np.zeros((10**4, 41), np.float32)}, "holds no clip"),
    ],
)
def test_a_clip_that_is_none_is_refused(tmp_path, changes, said):
    save_clip(tmp_path / "clip", make_clip("a/b/c"))
    restaged(tmp_path / "clip", **changes)
    with pytest.raises(UserError, match=rf"clip\.npz:? .*{said}"):
        load_clip(tmp_path / "clip")


def test_pictures_cut_off_or_of_another_kind_are_refused(tmp_path):
    clip = make_clip("a/b/c")
    save_clip(tmp_path / "clip", clip)
    pictures = tmp_path / "clip" / "frames.bin"
    pictures.write_bytes(pictures.read_bytes()[:-1])
    with pytest.raises(UserError, match="of another size than its clip says"):
        load_clip(tmp_path / "clip")
    png = io.BytesIO()
    Image.new("RGB", (8, 8)).save(png, "png")
    huge = bytearray(clip.jpegs[0])
    at = huge.index(b"\xff\xc0") + 5
    huge[at : at + 4] = b"\xff\xff\xff\xff"  # 65535 pixels a side
    for encoded in (png.getvalue(), clip.jpegs[0][:200], bytes(huge)):
        with pytest.raises(UserError, match="a picture of the clip cannot be decoded"):
            decode_jpeg(encoded)


def test_a_stream_that_fits_not_its_track_leaves_nothing(tmp_path):
    clip = make_clip("a/b/c")
    with pytest.raises(ValueError, match="3 frames for a track of 5"):
        save_clip(tmp_path / "clip", clip, iter(clip.jpegs[:3]))
    assert not list(tmp_path.iterdir())


def test_written_clips_come_back_by_split(tmp_path):
    # bbaz7a of s1 is held out, bbaf2n is not.
    clips = [make_clip("grid/s1/bbaz7a", 4), make_clip("grid/s1/bbaf2n", 6), make_clip("grid/s1/bbal7s", 3)]
    builders.write_folder(tmp_path / "grid+s1", clips)
    train, held_out = open_clips(tmp_path), open_clips(tmp_path, "held_out")
    assert (train.names, held_out.names) == (["grid/s1/bbaf2n", "grid/s1/bbal7s"], ["grid/s1/bbaz7a"])
    for got in (*train, *held_out):
        assert_same(got, next(clip for clip in clips if clip.name == got.name))


def test_frames_belong_to_their_clip(tmp_path):
    builders.write_folder(tmp_path / "x", [make_clip("x/b", 3), make_clip("x/a", 9), make_clip("x/c", 4)])
    for clip, length in zip(open_clips(tmp_path), (9, 3, 4), strict=True):
        frames = clip.frames()
        assert frames.shape == (length, 16, 16, 3) and len(clip) == length
        assert [int(frame.mean().round()) for frame in frames] == [10 * k for k in range(length)]
        assert np.array_equal(clip.frames(1, 3), frames[1:3])
        assert np.array_equal(clip.frame(-1), frames[-1])
        assert clip.speech.dtype == np.float32 and len(clip.speech) == 640 * length


def test_a_folder_grows_from_views_of_itself(tmp_path):
    first = [make_clip("x/a"), make_clip("x/b")]
    builders.write_folder(tmp_path / "x", first)
    new = dataclasses.replace(make_clip("x/b", 8), fingerprint="new")
    old = [clip for clip in open_clips(tmp_path) if clip.name != "x/b"]
    builders.write_folder(tmp_path / "x", [*old, new, make_clip("x/c")])
    clips = open_clips(tmp_path)
    assert clips.names == ["x/a", "x/b", "x/c"]
    assert_same(clips[0], first[0])
    assert_same(clips[1], new)
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_ppg_is_replaced_alone(tmp_path):
    clips = [make_clip("x/a"), make_clip("x/b")]
    builders.write_folder(tmp_path / "x", clips)
    new = [dataclasses.replace(clip, ppg=clip.ppg + 1, ppg_hash="better") for clip in open_clips(tmp_path)]
    builders.write_dataset(tmp_path / "x", "ppg", new)
    for got, expected in zip(open_clips(tmp_path), new, strict=True):
        assert_same(got, expected)


def test_jpeg_keeps_colour():
    image = np.zeros((32, 32, 3), np.uint8)
    image[:, ::2, 0] = 200  # red stripes one pixel wide vanish when chroma is halved
    error = np.abs(decode_jpeg(encode_jpeg(image)).astype(int) - image)
    assert error.mean() < 4


def test_damage_is_told_in_a_line(tmp_path):
    with pytest.raises(UserError, match="no prepared clips"):
        builders.folders(tmp_path)
    builders.write_folder(tmp_path / "x", [make_clip("x/a"), make_clip("x/b")])
    builders.write_dataset(tmp_path / "x", "ppg", [make_clip("x/a")])
    with pytest.raises(UserError, match="do not fit together"):
        open_clips(tmp_path)
    (tmp_path / "x" / "frames" / "dataset_info.json").unlink()
    with pytest.raises(UserError, match="prepare its videos again"):
        open_clips(tmp_path)


def test_folder_of():
    assert builders.folder_of("grid/s1/bbaz7a") == "grid+s1"
    assert builders.folder_of("alone") == "clips"


def test_reading_needs_no_tensorflow(tmp_path):
    builders.write_folder(tmp_path / "x", [make_clip("x/a")])
    code = (
        "import sys\n"
        "from vast_jax.data.pipeline import open_clips\n"
        f"assert open_clips({str(tmp_path)!r})[0].frame(2).mean() == 20\n"
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2], timeout=120)
