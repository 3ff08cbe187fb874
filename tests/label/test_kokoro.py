from itertools import pairwise

import numpy as np
import pytest

from vast_jax.label import kokoro
from vast_jax.label.kokoro import Segment
from vast_jax.types import UserError

RATE = 16000


def test_dictionary(tmp_path):
    (tmp_path / "words").write_text("a AH0\na(2) EY1\n'bout B AW1 T # slang\nd'etre D EH1 T R AH0\nx-ray EH1 K S\n")
    words = kokoro.read_dictionary(tmp_path / "words")
    assert words == {"a": ["AH0", "EY1"], "'bout": ["B AW1 T"], "d'etre": ["D EH1 T R AH0"]}
    with pytest.raises(UserError, match="no such dictionary"):
        kokoro.read_dictionary(tmp_path / "none")


def test_symbols_know_their_phones():
    said = kokoro.symbols(["B ER1 D", ",", "AH0 W EY1", "."])
    assert "".join(symbol for symbol, _ in said) == "bˈɜɹd, əwˈA."
    phones = ["B", "ER", "ER", "ER", "D", "SIL", None, "AH", "W", "EY", "EY", "SIL"]
    assert [phone for _, phone in said] == phones
    assert all(symbol in kokoro.SYMBOLS for ipa in kokoro.IPA.values() for symbol in ipa)


def test_segments_touch_and_follow_the_units():
    said = kokoro.symbols(["B ER1 D", "W IY0", "."])
    units = np.array([12, 2, 1, 1, 1, 2, 1, 2, 3, 4, 8])
    out = kokoro.segments(said, units, RATE)
    assert [segment.phone for segment in out] == ["SIL", "B", "ER", "D", "W", "IY", "SIL"]
    assert out[0].start == 0 and out[-1].end == units.sum() * 400
    assert all(one.end == other.start for one, other in pairwise(out))
    timing = round(kokoro.TIMING * RATE)
    assert out[1].start == 12 * 400 + timing and out[2].end - out[2].start == 3 * 400
    assert out[3].end - out[3].start == round((2 + kokoro.SPACE_BEFORE) * 400)


def test_equal_phones_of_two_words_are_one():
    said = kokoro.symbols(["D", "D"])
    assert [segment.phone for segment in kokoro.segments(said, np.array([9, 2, 1, 2, 9]), RATE)] == ["SIL", "D", "SIL"]


def test_pauses_end_where_the_sound_begins():
    speech = np.zeros(RATE)
    speech[4000:11200] = np.sin(np.arange(7200))
    out = kokoro.trim(speech, [Segment(0, 3200, "SIL"), Segment(3200, 14400, "AA"), Segment(14400, RATE, "SIL")], RATE)
    assert out == [(0, 4000, "SIL"), (4000, 11200, "AA"), (11200, RATE, "SIL")]
    late = kokoro.trim(speech, [Segment(0, 4800, "SIL"), Segment(4800, 10400, "AA"), Segment(10400, RATE, "SIL")], RATE)
    assert late == out
    silent = [Segment(0, 3200, "SIL"), Segment(3200, 3680, "T"), Segment(3680, RATE, "SIL")]
    short = kokoro.trim(np.zeros(RATE), silent, RATE)
    assert short == silent


def test_a_missing_archive_is_said(tmp_path):
    with pytest.raises(UserError, match="npm pack"):
        kokoro.voices(tmp_path / "none.tgz")


def test_added_output_is_a_protobuf_message():
    assert kokoro._output("/a") == b"\x3a\x06\x62\x04\x0a\x02/a"
