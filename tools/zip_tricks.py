"""Archives that only pretend to be a bundle: what others have done to those who unpack zips; for `fuzz`."""

import io
import stat
import struct
import warnings
import zipfile

import numpy as np
from bundle_damage import Files, cut, flip, longer

_BOMB = 20_000_000  # bytes of zeros
_NAMES = (
    "/etc/x.json",
    "../x.json",
    "a\\b.json",
    "C:x.json",
    "CON.json",
    "x/../../y.json",
    "x.exe",
    "é.json",
    "a.json/",
)


def tricky(rng: np.random.Generator, packed: bytes, files: Files) -> tuple[str, bytes]:
    """What was done, and the archive after it."""
    out, names = io.BytesIO(), list(files)
    name = names[rng.integers(len(names))]
    what = int(rng.integers(14))
    if what < 3:
        way = (flip, cut, longer)[what]
        return f"{way.__name__} archive", way(rng, packed)
    if what == 3:
        return "longer at the front", rng.bytes(int(rng.integers(1, 100))) + packed
    if what == 4:
        return "directory edited", _edited_directory(rng, packed)
    if what == 5:
        return "two archives in one", packed + packed
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w") as archive:
        warnings.simplefilter("ignore")  # of names that come twice
        for own in names:
            info = zipfile.ZipInfo(own, (1980, 1, 1, 0, 0, 0) if what != 6 else (2000, 1, 1, 0, 0, 0))
            info.create_system = 3
            info.external_attr = (stat.S_IFLNK | 0o777 if what == 7 and own == name else 0o100644) << 16
            info.compress_type = zipfile.ZIP_DEFLATED if what == 8 else zipfile.ZIP_STORED
            archive.writestr(info, b"/etc/passwd" if what == 7 and own == name else files[own])
        if what == 9:
            archive.writestr(_NAMES[rng.integers(len(_NAMES))], b"{}")
        if what == 10:
            archive.writestr(str(rng.choice([name, name.upper(), name.capitalize()])), files[name])
        if what == 11:
            archive.writestr("bomb.json", bytes(_BOMB), zipfile.ZIP_DEFLATED)
        if what == 12:
            archive.comment = b"more"
        if what == 13:
            for i in range(100):
                archive.writestr(f"a{i}.json", b"{}")
    said = {6: "dates", 7: "a link", 8: "deflated", 9: "names that lead elsewhere", 10: "a name twice", 11: "a bomb"}
    return {12: "a comment", 13: "many files"}.get(what) or said[what], out.getvalue()


def _edited_directory(rng: np.random.Generator, packed: bytes) -> bytes:
    """One field of the directory, or of its end, replaced: sizes, offsets, flags, counts."""
    out = bytearray(packed)
    start = struct.unpack("<I", packed[-6:-2])[0]
    width = int(rng.choice([2, 4]))
    at = int(rng.integers(start, len(out) - width)) if rng.random() < 0.7 else len(out) - int(rng.integers(4, 22))
    value = int(rng.choice([0, 1, 255, 2**16 - 1, 2**31, 2**32 - 1])) % 256**width
    out[at : at + width] = value.to_bytes(width, "little")
    return bytes(out)
