"""MEAD (Wang et al. 2020): 60 actors, eight emotions, three levels, seven views, filmed together.

Each actor's archives as unpacked: M003/video/front/angry/level_3/001.mp4 and M003/audio/angry/level_3/001.m4a.
"""

import re
from pathlib import Path

from vast_jax.data.corpora.recording import Listing, Recording
from vast_jax.data.names import videos_below

VIEWS = ("front", "left_30", "left_60", "right_30", "right_60", "top", "down")
_ACTOR = re.compile(r"[MW]\d{3}")
_LEVEL = re.compile(r"level_(\d)")


def listing(root: Path) -> Listing:
    """The clips below `root`. UserError: none."""
    recordings, left_out = [], {}
    for path in videos_below(root):
        folder = path.absolute().parent
        view, emotion, level = folder.parent.parent.name, folder.parent.name, _LEVEL.fullmatch(folder.name)
        actor = next((above for above in folder.parents if _ACTOR.fullmatch(above.name)), None)
        if actor is None or level is None or view not in VIEWS:
            left_out[f"mead/{folder.name}/{path.stem}"] = "not in ACTOR/video/VIEW/EMOTION/level_N"
            continue
        sound = actor / "audio" / emotion / folder.name / f"{path.stem}.m4a"
        recordings.append(
            Recording(
                name=f"mead/{actor.name}/{view}_{emotion}_{folder.name}_{path.stem}",
                source=path,
                person=actor.name,
                sound=sound if sound.is_file() else None,
                emotion=emotion,
                level=int(level[1]),
                view=view,
            )
        )
    return Listing(recordings, left_out).checked(root, "MEAD", "M003/video/front/angry/level_3/001.mp4")
