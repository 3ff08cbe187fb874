"""The one list of recordings held out from every training: every split reads it."""

from pathlib import PurePath

_PEOPLE = ("M030", "W009", "W023", "W036")  # of MEAD
_VOICES = ("af_bella", "am_michael", "bf_emma", "bm_george")  # synthetic, of Kokoro
_FOLDERS = ("emotion_silent", "silent")
_LIBRISPEECH = {"test-clean", "test-other", "dev-clean", "dev-other"}  # its folders, as published
_CLIPS = {
    "talkshow/range_head_4",
    "talkshow/range_head_5",
    "talkshow/range_half_body_4",
    "generated/vasa_12",
    "generated/vasa_l3",
}
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
    """Whether the recording at `path` is kept for testing only: the file's name and its folder's tell.

    `grid/s1`: every fifth clip; LibriSpeech: all below its test and development sets as published, and the folder
    `librispeech`; synthetic voices and expressive clips: the voices, people, clips and folders named above. Anything
    else is for training.
    """
    pure = PurePath(path)
    folder, name = pure.parent.name, pure.name.split(".")[0]
    if _LIBRISPEECH.intersection(pure.parts[:-1]):
        return True
    if folder in ("s1", "original"):  # "original": the same clips as published
        return name in _GRID_S1
    if folder == "speeches":
        return name.startswith("feifeili")
    if folder == "mead":
        return name.startswith(_PEOPLE)
    if folder == "kokoro":
        return name.startswith(_VOICES)
    return folder in _FOLDERS or folder == "librispeech" or f"{folder}/{name}" in _CLIPS
