import itertools
from pathlib import Path

import numpy as np
import pytest

from vast_jax.data.grid_corpus import BLANK, GRAMMAR, WORDS, frame_labels, grid_sentence, is_grid_name, read_alignment
from vast_jax.types import UserError


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bbaf2n", "bin blue at f two now"),
        ("grid/s1/lgwxzp", "lay green with x zero please"),
        ("pria9a.mpg", "place red in a nine again"),
        ("/videos/id2_vcd_swwp2s.mkv", "set white with p two soon"),
        ("SBBZ7A", "set blue by z seven again"),
    ],
)
def test_names_encode_sentences(name, words):
    assert grid_sentence(name) == tuple(words.split()) and is_grid_name(name)


@pytest.mark.parametrize("name", ["bbaw2n", "xbaf2n", "bbaf0n", "bbaf2", "bbaf2na", "M030_angry", ""])
def test_other_names_do_not(name):
    assert not is_grid_name(name)
    with pytest.raises(UserError, match="not named as a GRID clip"):
        grid_sentence(name)


def test_vocabulary():
    assert len(WORDS) == len(set(WORDS)) == 51 and [len(place) for place in GRAMMAR] == [4, 4, 4, 25, 10, 4]
    codes = itertools.product("blps", "bgrw", "abiw", "abcdefghijklmnopqrstuvxyz", "z123456789", "anps")
    sentences = [grid_sentence("".join(code)) for code in codes]
    assert sentences == list(itertools.product(*GRAMMAR))


def test_frames_are_labelled_by_their_middle(tmp_path):
    path = tmp_path / "bbaf2n.align"
    path.write_text("0 1600 sil\n1600 2500 bin\n2500 3400 blue\n3400 3900 sp\n3900 5000 at\n5000 9000 sil\n")
    words = read_alignment(path)
    assert words == [(1.6, 2.5, "bin"), (2.5, 3.4, "blue"), (3.9, 5.0, "at")]
    bin_, blue, at = (WORDS.index(word) + 1 for word in ("bin", "blue", "at"))
    np.testing.assert_array_equal(frame_labels(words, 7), [BLANK, BLANK, blue, BLANK, at, BLANK, BLANK])
    # (frame 1's middle is at 1.5, before "bin"; frame 2's at 2.5, which is the first of "blue")
    assert bin_ not in frame_labels(words, 7)
    np.testing.assert_array_equal(frame_labels(read_alignment(path, 2), 5), frame_labels(words, 7)[2:])


def test_broken_alignments(tmp_path):
    with pytest.raises(UserError, match=r"none\.align"):
        read_alignment(tmp_path / "none.align")
    (tmp_path / "a.align").write_text("0 x sil\n")
    with pytest.raises(UserError, match="start end word"):
        read_alignment(tmp_path / "a.align")


def say_what_the_names_say(folder: Path) -> int:
    paths = sorted(folder.glob("*.align"))
    for path in paths:
        assert tuple(word for *_, word in read_alignment(path)) == grid_sentence(path.stem)
    return len(paths)


def test_real_alignments_say_what_the_names_say(recordings):
    assert say_what_the_names_say(recordings / "grid" / "align") == 3


def test_so_do_those_of_a_whole_speaker(shared_data):
    assert say_what_the_names_say(shared_data / "grid" / "align") > 100
