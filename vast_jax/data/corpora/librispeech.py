"""LibriSpeech (Panayotov et al. 2015), for the acoustic model: train-clean-100/103/1240/103-1240-0000.flac.

The words are in SPEAKER-CHAPTER.trans.txt beside the recordings.
"""

from pathlib import Path

from vast_jax.data.corpora.recording import Listing, Recording


def listing(root: Path) -> Listing:
    """The transcribed recordings below `root`. UserError: none."""
    recordings, left_out = [], {}
    for transcript in sorted(root.rglob("*.trans.txt")):
        speaker = transcript.absolute().parents[1]
        for line in transcript.read_text(encoding="utf-8").splitlines():
            utterance, _, text = line.partition(" ")
            path, name = transcript.parent / f"{utterance}.flac", f"librispeech/{speaker.parent.name}/{utterance}"
            if path.is_file():
                recordings.append(Recording(name, path, speaker.name, text=text))
            else:
                left_out[name] = f"{path} is not there"
    return Listing(recordings, left_out).checked(
        root, "LibriSpeech", "train-clean-100/103/1240/103-1240.trans.txt with its recordings"
    )
