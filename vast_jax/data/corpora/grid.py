"""GRID (Cooke et al. 2006): 1,000 sentences of each of 33 talkers; s21 has no video.

Speakers' archives in any of the ways they are unpacked: s1/bbaf2n.mpg, s1.mpg_vcd/s1/bbaf2n.mpg,
s1/video/mpg_6000/bbaf2n.mpg; alignments in align/s1/bbaf2n.align, s1/align/bbaf2n.align. Of a sentence that is there
twice, the file of mpg_6000 (720x576) is taken.
"""

import re
from pathlib import Path

from vast_jax.data.corpora.recording import Listing, Recording
from vast_jax.data.grid_corpus import grid_sentence, is_grid_name
from vast_jax.data.names import videos_below

_SPEAKER = re.compile(r"(s\d+)(\.mpg_.*)?")


def listing(root: Path) -> Listing:
    """The sentences below `root`. UserError: none."""
    alignments = {_key(path): path for path in sorted(root.rglob("*.align"))}
    chosen: dict[tuple[str, str], Path] = {}
    left_out = {}
    for path in videos_below(root):
        speaker, name = key = _key(path)
        if not is_grid_name(name) or not speaker:
            left_out[f"grid/{speaker or path.parent.name}/{path.stem}"] = "no sentence of GRID by its name and folder"
        elif key not in chosen or "mpg_6000" in path.parts:
            chosen[key] = path
    recordings = [
        Recording(
            name=f"grid/{speaker}/{name}",
            source=path,
            person=speaker,
            text=" ".join(grid_sentence(name)),
            alignment=alignments.get((speaker, name)),
        )
        for (speaker, name), path in chosen.items()
    ]
    return Listing(recordings, left_out).checked(root, "GRID", "s1/bbaf2n.mpg")


def _key(path: Path) -> tuple[str, str]:
    """The speaker, by the nearest folder named as one, "" if none is; and the sentence."""
    found = (_SPEAKER.fullmatch(part) for part in reversed(path.absolute().parts[:-1]))
    return next((match[1] for match in found if match), ""), path.stem.lower()
