from vast_jax.data import splits
from vast_jax.data.splits import is_held_out


def test_every_fifth_clip_of_grid_s1(recordings):
    names = (recordings / "grid" / "s1_names.txt").read_text().split()
    assert len(names) == 300 and names == sorted(names)
    assert [name for name in names if is_held_out(f"grid/s1/{name}.mkv")] == names[4::5]
    assert len(splits._GRID_S1) == 60


def test_a_clip_is_held_out_wherever_it_lies():
    for path in ("grid/s1/bbaz7a", "/any/where/grid/s1/bbaz7a.mkv", "s1/bbaz7a.mkv", "grid/original/bbaz7a.mpg"):
        assert is_held_out(path)
    assert not is_held_out("grid/s1/bbaf2n")
    assert not is_held_out("grid/others/bbaz7a")  # another talker's sentence of the same words


def test_people_and_folders_of_the_prompts():
    held_out = (
        "prompts/speeches/feifeili_clip1",
        "prompts/mead/M030_level_3_angry_016",
        "prompts/mead/W009_level_1",
        "prompts/mead/W023_level_2_surprised_010",
        "prompts/mead/W036_level_3_happy_007",
        "prompts/talkshow/range_head_4",
        "prompts/talkshow/range_head_5.mp4",
        "prompts/talkshow/range_half_body_4",
        "prompts/generated/vasa_12",
        "prompts/generated/vasa_l3.mp4",
        "prompts/emotion_silent/M030_front_sad_level3_001",
        "prompts/silent/nice_clip1",
        "speech/librispeech/1688-142285-0000.flac",
        "speech/kokoro/bf_emma-00021.flac",
        "grid/s1/video/mpg_6000/bbaz7a.mpg",
        "s1.mpg_vcd/bbaz7a.mpg",
        "MEAD/M030/video/front/angry/level_3/001.mp4",
        "mead/W036/front_sad_level_1_002",
        "tedhd/68/000",
        "LibriSpeech/test-other/1688/142285/1688-142285-0000.flac",
        "/data/dev-clean/84/121123/84-121123-0000.flac",
    )
    training = (
        "prompts/speeches/Obama_clip1",
        "prompts/mead/M003_level_1_happy_024",
        "prompts/talkshow/range_head_1",
        "prompts/generated/vasa_11",
        "prompts/voxceleb/Audio_Source_00015",
        "speech/librispeech_untranscribed/103-1240-0000.flac",
        "speech/kokoro/af_heart-00003.flac",
        "speech/kokoro/mix-00004.flac",
        "LibriSpeech/train-clean-100/103/1240/103-1240-0000.flac",
        "speech/ljspeech/LJ001-0001.flac",
        "grid/s1/video/mpg_6000/bbaf2n.mpg",
        "mead/M003/front_sad_level_1_002",
        "tedhd/67/000",
        "my/own/video.mp4",
    )
    assert all(map(is_held_out, held_out))
    assert not any(map(is_held_out, training))


def test_what_is_chosen_by_a_hash_does_not_depend_on_the_rest():
    people = [f"Person{chr(65 + a)}{chr(65 + b)}" for a in range(20) for b in range(20)]
    sides = [splits.is_held_out(f"hdtf/{person}/WRA_{person}0_0") for person in people]
    assert 0.14 < sum(sides) / len(sides) < 0.26
    assert sides == [splits.is_held_out(f"hdtf/{person}/RD_{person}3_7") for person in people]  # one side a person
    assert splits.in_paper("grid/s25/bbaf2n") and not splits.in_paper("grid/s2/bbaf2n")


def test_people_whose_clips_name_their_emotion_are_held_out():
    for name in ("real/ImaginTalk_001_happy", "real/guanjz20_004", "generated/DiTalker_012_angry"):
        assert is_held_out(f"people/{name}.mp4")
    for name in (
        "real/ImaginTalk_013",
        "real/guanjz20_005",
        "generated/DiTalker_003",
        "generated/omnitalker_006_happy",
    ):
        assert not is_held_out(f"people/{name}.mp4")
    assert not is_held_out("other/real/ImaginTalk_001_happy.mp4")
