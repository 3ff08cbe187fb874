"""The one list of recordings held out from every training: every split reads it."""

from pathlib import PurePath

from vast_jax.files import sha256

_PEOPLE = ("M030", "W009", "W023", "W036")  # of MEAD
_VOICES = ("af_bella", "am_michael", "bf_emma", "bm_george")  # synthetic, of Kokoro
_TEDHD_TEST = 68  # StyleAvatar, which made Ted-HD, trains on the speakers below this number
_HDTF = ("RD_", "WDA_", "WRA_")  # clips of its three lists
_FOLDERS = ("emotion_silent", "silent")
_LIBRISPEECH = {"test-clean", "test-other", "dev-clean", "dev-other"}  # its folders, as published
_CLIPS = {
    "talkshow/range_head_4",
    "talkshow/range_head_5",
    "talkshow/range_half_body_4",
    "generated/vasa_12",
    "generated/vasa_l3",
}
_ACTORS = {("real", "ImaginTalk"), ("generated", "DiTalker")}  # sources in `people`, where the name tells the emotion
# sorted(names)[4::5] of the 300 clips of GRID's speaker s1 in use: a list, so that a clip's side
# never depends on which other clips are at hand.
_GRID_S1 = frozenset(
    """
    bbaz7a bbie8n bbwg2p bgahzn bgbh6p bgig9a bgwo3s bras6n brbtzn brwa3s bwaa1s bwba5s bwigzn bwwh4p lbakzn
    lbbq9s lbiq1s lbwr3s lgas5a lgbs8p lgiz5a lrae5a lrbe8p lriezp lrwl5s lwal2n lwbl7s lwilzp lwwm3a pbao9s
    pbbp5a pbio6p pbwp9a pgay2p pgby4n pgix7s pgwzzp prax1a prbx5a prwd5s pwad2n pwbd7s pwidzp pwwe3a sbaa7a
    sbbh3s sbig4n sbwh7s sgai9a sgbj3a sgii5a sgwp9s sran8n srbo3s srin7a srwo8p swao7a swbv3s swiu4n swwv7s
    """.split()  # noqa: SIM905
)


def is_held_out(path: str) -> bool:
    """Whether the recording at `path` is kept for testing only: the file's name and its folders' tell.

    GRID: every fifth clip of those of s1 in use, a fifth of s25's; LibriSpeech: all below its test and development sets
    as published, and the folder `librispeech`; MEAD: four people; Ted-HD: the speakers that its authors test on; HDTF:
    a fifth of the speakers; `addresses`: a fifth of the videos; synthetic voices and expressive clips: the voices,
    people, clips and folders named above. Anything else is for training.
    """
    pure = PurePath(path)
    corpus, folder, name = pure.parent.parent.name, pure.parent.name, pure.name.split(".")[0]
    above = {part.split(".")[0] for part in pure.parts[:-1]}  # GRID is unzipped to s1.mpg_vcd, and s1/video/mpg_6000
    rules = (
        not above.isdisjoint(_LIBRISPEECH) or folder == "librispeech",
        not above.isdisjoint(_PEOPLE) or (folder == "mead" and name.startswith(_PEOPLE)),
        not above.isdisjoint(("s1", "original")) and name in _GRID_S1,  # "original": the same clips as published
        "s25" in above and _one_in_five(f"s25/{name}"),
        corpus == "tedhd" and folder.isdecimal() and int(folder) >= _TEDHD_TEST,
        corpus == "hdtf" and name.startswith(_HDTF) and _one_in_five(folder),  # the folder is the speaker
        corpus == "addresses" and _one_in_five(f"{folder}/{name}"),
        folder == "speeches" and name.startswith("feifeili"),
        folder == "kokoro" and name.startswith(_VOICES),
        folder in _FOLDERS,
        corpus == "people" and _names_emotion_of_whole_person(folder, name),
        f"{folder}/{name}" in _CLIPS,
    )
    return any(rules)


def _names_emotion_of_whole_person(folder: str, name: str) -> bool:
    """Of the collection `people`: actors whose clips name their emotion, and half of one source's people."""
    source, _, rest = name.partition("_")
    number, _, emotion = rest.partition("_")
    if source == "guanjz20":
        return number.isdecimal() and int(number) % 2 == 0
    return (folder, source) in _ACTORS and bool(emotion)


def in_paper(name: str) -> bool:
    """Whether the paper trains and tests on this clip (80 and 20% of GRID's s1 and s25, and Ted-HD, mixed).

    It does not say which clips are the 80%: ours are those that are not held out.
    """
    return name.startswith(("grid/s1/", "grid/s25/", "tedhd/"))


def _one_in_five(key: str) -> bool:
    """A fifth of all keys, whatever others there are."""
    return int(sha256(key.encode())[:8], 16) % 5 == 0
