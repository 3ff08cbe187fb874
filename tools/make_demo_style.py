"""Makes assets/demo.style and assets/head_motion.safetensors from GRID clips (CC-BY 4.0): the style and the small head
movement of the demo.

    python tools/make_demo_style.py grid/s1/bbaf2n.mkv grid/s1/bbal7s.mkv ...

The style file holds the clips' expressions and posteriorgrams one after the other; the motion is the first clip's pose
and gaze, relative to its mean.
"""

import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from vast_jax.face.model import load_face_model
from vast_jax.face.rasterise import rotation_matrix
from vast_jax.face.tracking import track_video
from vast_jax.files import atomic_path
from vast_jax.generation.prompt import read_prompt, save_style
from vast_jax.models.recogniser import load_acoustic

ASSETS = Path(__file__).parent.parent / "vast_jax" / "assets"


def main(clips: list[str]) -> None:
    face_model, acoustic = load_face_model(), load_acoustic()
    prompts = [read_prompt(clip, face_model, acoustic) for clip in clips]
    whole = prompts[0]._replace(
        expression=np.concatenate([prompt.expression for prompt in prompts]),
        ppg=np.concatenate([prompt.ppg for prompt in prompts]),
        source="GRID, " + ", ".join(Path(clip).stem for clip in clips),
    )
    save_style(ASSETS / "demo.style", whole)

    track, _ = track_video(clips[0], face_model)
    motion = {
        # small angles: the difference of axis-angle vectors is the relative rotation to first order
        "rotation": track.rotation - track.rotation.mean(0),
        "translation": track.translation - track.translation.mean(0),
        "gaze": track.gaze - track.gaze.mean(0),
    }
    assert np.allclose(rotation_matrix(motion["rotation"]).diagonal(axis1=1, axis2=2), 1, atol=0.05)
    with atomic_path(ASSETS / "head_motion.safetensors") as part:
        save_file({name: value.astype(np.float32) for name, value in motion.items()}, part)


if __name__ == "__main__":
    main(sys.argv[1:])
