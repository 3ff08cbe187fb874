"""Footage of one person a folder, in long videos: PERSON/*.mp4, or the videos of one person alone."""

from pathlib import Path

from vast_jax.data.corpora.recording import Listing, Recording
from vast_jax.data.names import videos_below


def listing(root: Path) -> Listing:
    """The videos below `root`; who it is is the folder's name. UserError: none."""
    recordings = [
        Recording(name=f"addresses/{person}/{path.stem}", source=path, person=person)
        for path in videos_below(root)
        for person in [path.absolute().parent.name]
    ]
    return Listing(recordings).checked(root, "one person's footage", "obama/2014-01-04.mp4")
