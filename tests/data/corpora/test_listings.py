"""Trees as the corpora are unpacked: what is found in them, whose it is, and on which side of the split."""

from pathlib import Path

import numpy as np
import pytest

from vast_jax.data.corpora import CORPORA
from vast_jax.data.grid_corpus import read_alignment
from vast_jax.data.splits import is_held_out
from vast_jax.media import probe, read_frames
from vast_jax.types import Segment, UserError


def tree(root: Path, *files: str) -> Path:
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def by_name(corpus: str, root: Path) -> dict:
    return {recording.name: recording for recording in CORPORA[corpus](root).recordings}


@pytest.mark.parametrize(
    ("video", "align"),
    [
        ("s1/bbaz7a.mpg", "align/s1/bbaz7a.align"),
        ("s1/video/mpg_6000/bbaz7a.mpg", "s1/align/bbaz7a.align"),
        ("s1.mpg_vcd/s1/bbaz7a.mpg", "alignments/s1/bbaz7a.align"),
        ("s1.mpg_vcd/bbaz7a.mpg", "s1/bbaz7a.align"),
    ],
)
def test_grid_however_it_is_unpacked(tmp_path, video, align):
    root = tree(tmp_path, video, video.replace("bbaz7a", "bbaf2n"), align, "s25/readme.txt", "s25/._bbaf2n.mpg")
    found = by_name("grid", root)
    assert list(found) == ["grid/s1/bbaf2n", "grid/s1/bbaz7a"]
    held_out, training = found["grid/s1/bbaz7a"], found["grid/s1/bbaf2n"]
    assert held_out.held_out and not training.held_out and training.in_paper
    assert (held_out.source, held_out.alignment) == (root / video, root / align)
    assert (training.person, training.text, training.alignment) == ("s1", "bin blue at f two now", None)


def test_grid_takes_the_larger_picture_and_tells_what_is_no_sentence(tmp_path):
    root = tree(tmp_path, "s2/video/mpg_6000/bbaf2n.mpg", "s2/bbaf2n.mpg", "s2/making_of.mpg", "s34/bbaf2n.mpg")
    found = CORPORA["grid"](root)
    names = {recording.name: recording.source.parent.name for recording in found.recordings}
    assert names == {"grid/s2/bbaf2n": "mpg_6000", "grid/s34/bbaf2n": "s34"}
    assert list(found.left_out) == ["grid/s2/making_of"]
    assert not any(recording.in_paper for recording in found.recordings)


def test_a_fifth_of_s25_is_held_out(tmp_path):
    sentences = [f"{a}{b}{c}{d}{e}n" for a in "blps" for b in "bgrw" for c in "ab" for d in "ac" for e in "12345"]
    found = by_name("grid", tree(tmp_path, *(f"s25/{name}.mpg" for name in sentences)))
    assert 0.12 < sum(recording.held_out for recording in found.values()) / len(sentences) < 0.28


def test_mead(tmp_path):
    clip = "{0}/video/{1}/{2}/level_{3}/001.mp4"
    root = tree(
        tmp_path,
        clip.format("M003", "front", "angry", 3),
        clip.format("M003", "left_60", "neutral", 1),
        clip.format("W009", "front", "happy", 2),
        "M003/audio/angry/level_3/001.m4a",
        "M003/teaser.mp4",
    )
    found = by_name("mead", root)
    angry = found["mead/M003/front_angry_level_3_001"]
    assert (angry.person, angry.emotion, angry.level, angry.view) == ("M003", "angry", 3, "front")
    assert angry.sound == root / "M003/audio/angry/level_3/001.m4a" and not angry.held_out
    other = found["mead/M003/left_60_neutral_level_1_001"]
    assert (other.view, other.level, other.sound) == ("left_60", 1, None)
    assert found["mead/W009/front_happy_level_2_001"].held_out  # one of the four people
    assert len(found) == 3 and list(CORPORA["mead"](root).left_out) == ["mead/M003/teaser"]


def test_hdtf_parts_of_long_videos_and_clips_cut_already(tmp_path):
    root = tree(
        tmp_path, "HDTF_dataset/x", "videos/Radio11.mp4", "videos/WRA_TomCotton_000.mp4", "videos/RandPaul1_1.mp4"
    )
    lists = root / "HDTF_dataset"
    (lists / "RD_annotion_time.txt").write_text("Radio11.mp4 00:30-01:00 01:30-1:02:30\nRadio12.mp4 00:25-01:00\n")
    (lists / "WRA_annotion_time.txt").write_text("TomCotton.mp4 00:00-00:10\nRandPaul1.mp4 00:01-00:02 00:03-00:04\n")
    found = CORPORA["hdtf"](root)
    sources = {recording.name: recording.source for recording in found.recordings}
    radio = root / "videos/Radio11.mp4"
    assert sources == {
        "hdtf/Radio/RD_Radio11_0": Segment(radio, 30, 60),
        "hdtf/Radio/RD_Radio11_1": Segment(radio, 90, 3750),
        "hdtf/RandPaul/WRA_RandPaul1_1": root / "videos/RandPaul1_1.mp4",
        "hdtf/TomCotton/WRA_TomCotton_0": root / "videos/WRA_TomCotton_000.mp4",
    }
    assert list(found.left_out) == ["hdtf/Radio/RD_Radio12_0", "hdtf/RandPaul/WRA_RandPaul1_0"]
    by_person = {}
    for recording in found.recordings:
        by_person.setdefault(recording.person, set()).add(recording.held_out)
    assert all(len(sides) == 1 for sides in by_person.values())  # nobody is on both sides
    for name in ("RD_annotion_time.txt", "WRA_annotion_time.txt"):
        (lists / name).unlink()
    assert list(by_name("hdtf", root)) == ["hdtf/TomCotton/WRA_TomCotton_0"]  # the downloader's results alone
    (lists / "RD_annotion_time.txt").write_text("Radio11.mp4 30s-60s\n")
    with pytest.raises(UserError, match="minutes:seconds"):
        CORPORA["hdtf"](root)


def test_tedhd_lists_and_slices(tmp_path):
    root = tree(tmp_path, "12.mp4", "68/0.mp4", "68/11.mp4", "68/notes.mp4")
    (root / "12_time.txt").write_text("3.13,10\n20.0,25.5\n")
    (root / "13_time.txt").write_text("1,9\n")
    found = CORPORA["tedhd"](root)
    sources = {recording.name: recording.source for recording in found.recordings}
    assert sources["tedhd/12/000"] == Segment(root / "12.mp4", 3.36, 9.8)  # a margin, then the next frame
    assert list(sources) == ["tedhd/12/000", "tedhd/12/001", "tedhd/68/000", "tedhd/68/011"]
    assert [recording.held_out for recording in found.recordings] == [False, False, True, True]
    assert all(recording.in_paper for recording in found.recordings) and list(found.left_out) == ["tedhd/13/000"]
    for line in ("a,b", "5,4", "7"):
        (root / "12_time.txt").write_text(f"{line}\n")
        with pytest.raises(UserError, match="start,stop"):
            CORPORA["tedhd"](root)


def test_addresses(tmp_path):
    days = [f"obama/2014-{month:02d}-{day:02d}.mp4" for month in range(1, 13) for day in (4, 11, 18, 25)]
    found = by_name("addresses", tree(tmp_path, *days))
    assert {recording.person for recording in found.values()} == {"obama"} and "addresses/obama/2014-01-04" in found
    assert 3 < sum(recording.held_out for recording in found.values()) < 16
    assert found.keys() == by_name("addresses", tmp_path / "obama").keys()  # the same, however it is given


def test_librispeech(tmp_path):
    root = tree(tmp_path, "LibriSpeech/train-clean-100/103/1240/103-1240-0000.flac", "dev-other/1/2/1-2-0000.flac")
    (root / "LibriSpeech/train-clean-100/103/1240/103-1240.trans.txt").write_text(
        "103-1240-0000 A DOG\n103-1240-0001 B\n"
    )
    (root / "dev-other/1/2/1-2.trans.txt").write_text("1-2-0000 HERE\n")
    found = CORPORA["librispeech"](root)
    test, train = found.recordings
    assert (train.name, train.person, train.text) == ("librispeech/train-clean-100/103-1240-0000", "103", "A DOG")
    assert test.held_out and not train.held_out
    assert list(found.left_out) == ["librispeech/train-clean-100/103-1240-0001"]


@pytest.mark.parametrize("corpus", CORPORA)
def test_a_folder_of_something_else_is_told(tmp_path, corpus):
    with pytest.raises(UserError, match="no such folder"):
        CORPORA[corpus](tmp_path / "missing")
    with pytest.raises(UserError, match=r"nothing of .* docs/corpora\.md"):
        CORPORA[corpus](tree(tmp_path, "notes.txt"))


def test_names_are_chosen_by_patterns(tmp_path):
    found = CORPORA["grid"](tree(tmp_path, "s1/bbaf2n.mpg", "s2/bbaf2n.mpg", "s2/x.mpg"))
    some = found.matching(["grid/s2/*"])
    assert [recording.name for recording in some.recordings] == ["grid/s2/bbaf2n"] and len(some.left_out) == 1
    with pytest.raises(UserError, match="such as grid/s1/bbaf2n"):
        found.matching(["s3/*"])


def test_real_clips_in_the_published_layout(tmp_path, recordings):
    grid = recordings / "grid"
    names = (grid / "s1_names.txt").read_text().split()
    tree(tmp_path, *(f"s1/video/mpg_6000/{name}.mkv" for name in names))  # a listing opens none of them
    (tmp_path / "align").mkdir()
    (tmp_path / "align" / "s1").symlink_to(grid / "align")
    found = CORPORA["grid"](tmp_path / "s1" / "video" / "mpg_6000").recordings
    assert len(found) == 300 and sum(recording.held_out for recording in found) == 60
    words = [recording.text for recording in found]
    assert len(set(words)) == 300
    aligned = grid / "align" / f"{found[0].name.split('/')[-1]}.align"
    assert " ".join(word for *_, word in read_alignment(aligned)) == words[0]


def test_real_clips_of_mead(tmp_path, shared_data):
    names = {}
    for path in sorted((shared_data / "prompts" / "mead").glob("*.mp4")):
        actor, _, level, emotion, number = path.stem.split("_")
        link = tmp_path / actor / "video" / "front" / emotion / f"level_{level}" / f"{number}.mp4"
        link.parent.mkdir(parents=True)
        link.symlink_to(path)
        names[f"mead/{actor}/front_{emotion}_level_{level}_{number}"] = path
    found = by_name("mead", tmp_path)
    assert found.keys() == names.keys()
    for name, recording in found.items():  # on the side on which the same clip is as a prompt
        assert recording.held_out == is_held_out(str(names[name])) and probe(recording.source).has_audio


def test_real_utterances_of_librispeech(tmp_path, recordings):
    speech = recordings / "speech" / "librispeech"
    for line in (speech / "transcripts.txt").read_text().splitlines():
        speaker, chapter, _ = line.split()[0].split("-")
        folder = tmp_path / "test-other" / speaker / chapter
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{line.split()[0]}.flac").touch()  # a listing opens none of them
        with open(folder / f"{speaker}-{chapter}.trans.txt", "a") as file:
            file.write(f"{line}\n")
    found = CORPORA["librispeech"](tmp_path)
    assert len(found.recordings) == 100 and not found.left_out
    assert len({recording.person for recording in found.recordings}) == 10
    assert all(recording.held_out and recording.text for recording in found.recordings)


def test_a_part_of_a_real_video_is_what_the_whole_shows_there(tmp_path, recordings):
    (tmp_path / "7.mkv").symlink_to(recordings / "grid" / "s1" / "bbaf2n.mkv")
    (tmp_path / "7_time.txt").write_text("0.8,2.4\n")
    (recording,) = CORPORA["tedhd"](tmp_path).recordings
    part, whole = list(read_frames(recording.source, longest=64)), list(read_frames(tmp_path / "7.mkv", longest=64))
    np.testing.assert_array_equal(part, whole[25:55])
