"""What a bundle says of itself, without reading an array: the lines of `inspect`, and what `model_card` writes."""

import functools
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any, NamedTuple

import numpy as np

from vast_jax.errors import UserError
from vast_jax.untrusted import npz_layout, read_json, safetensors_layout, size_of
from vast_jax.weights.bundle import AVATAR, MANIFEST, PROMPT, TEMPLATE, Bundle

_USE = {
    AVATAR: "python infer.py --speech your.wav --prompt anybody_talking.mp4 --avatar {here} --out talking.mp4",
    PROMPT: "python infer.py --speech your.wav --prompt {here} --out talking.mp4",
    "style": "python infer.py --speech your.wav --prompt anybody_talking.mp4 --style-model {here} --out talking.mp4",
    "acoustic": "python infer.py --speech your.wav --acoustic-model {here} --out talking.mp4",
    "syncnet": "python -m vast_jax.evaluate --generated made --reference real --syncnet {here} --out report",
    "renderer": "python train.py configs/renderer.py --data data/me --workdir runs/me --init-from {here}",
}
_ASSETS = resources.files("vast_jax") / "assets"


class About(NamedTuple):
    """A bundle in words."""

    kind: str  # "avatar", "prompt", or the part that weights are of
    what: str  # one sentence without a full stop
    card: Mapping[str, Any]
    bytes: int
    count: int  # files

    def use(self, here: str) -> str:
        """The command that uses it, packed or unpacked, where it lies; "" where there is none."""
        return _USE.get(self.kind, "").format(here=here)


def about(bundle: Bundle) -> About:
    """What a bundle is. UserError: its card, or the header of its arrays, is none."""
    layouts, notes = safetensors_layout(bundle.main)
    card = read_json(bundle.card) if bundle.card.is_file() else {}
    names = [*bundle.files, *([MANIFEST] if (bundle.folder / MANIFEST).is_file() else [])]
    size, part = sum(size_of(bundle.folder / name) for name in names), str(card.get("part"))
    numbers = sum(int(np.prod(a.shape)) for name, a in layouts.items() if not name.startswith("constants/"))
    if bundle.kind == PROMPT:
        frames = layouts["expression"].shape[:1] if "expression" in layouts else ()
        seconds = frames[0] / 25 if frames else 0
        sound = "with" if notes.get("has_speech") == "1" else "without"
        what = f"the style of {line(notes.get('source'))}: {seconds:.1f} s {sound} speech, no picture"
        models = {name: notes.get(name) for name in ("face_model", "acoustic_model")}
        return About(PROMPT, what, {"data": notes.get("source"), **card, **models}, size, len(names))
    if not card:
        raise UserError(f"{bundle.main} has no card: {bundle.card.name} must lie beside it")
    kind = AVATAR if bundle.kind == AVATAR else part
    what = f"weights of the part {line(part)}, {numbers / 1e6:.1f} million parameters"
    if kind == AVATAR:
        shape = npz_layout(bundle.folder / TEMPLATE[0]).get("ends", (None, (0,)))[1]
        seconds = (shape or (0,))[0] / 25
        what = (
            f"avatar of {line(card.get('person'))}: {numbers / 1e6:.1f} million parameters, template of {seconds:.1f} s"
        )
    return About(kind, what, card, size, len(names))


def lines(told: About, here: str) -> list[str]:
    """A few lines for people, of what lies in `here`."""
    figures = told.card.get("figures") if isinstance(told.card.get("figures"), dict) else {}
    shown = [f"{line(name)} {value:.4g}" for name, value in figures.items() if isinstance(value, int | float)]
    rows = {
        "what": told.what,
        "by": f"{line(told.card.get('author'))}; vast_jax {line(told.card.get('version'))}",
        "data": line(told.card.get("data")),
        "licence": line(told.card.get("licence")),
        "consent": line(told.card.get("consent")) if told.kind == AVATAR or told.card.get("consent") else None,
        "fits": "; ".join(fits(told.card)),
        "figures": ", ".join(shown[:6]) + (f", and {len(shown) - 6} more" if len(shown) > 6 else ""),
        "size": f"{told.bytes / 1e6:.2f} MB in {told.count} files",
        "use": told.use(here),
    }
    return [f"{name:<8}{value}" for name, value in rows.items() if value]


def fits(card: Mapping[str, Any]) -> list[str]:
    """Which face and which acoustic model it was made with, in words."""
    out = []
    for key, shipped in shipped_models().items():
        have = card.get(key)
        name = key.replace("_", " ")
        if have is None:
            out.append(f"any {name}")
        else:
            out.append(
                f"the shipped {name}" if have == shipped else f"another {name} ({line(have)[:12]}), not the shipped one"
            )
    return out


@functools.cache
def shipped_models() -> dict[str, str]:
    """The hashes of the shipped face and acoustic models."""
    with np.load(str(_ASSETS / "head.npz"), allow_pickle=False) as head:
        face = str(head["hash"])
    card = json.loads((_ASSETS / "acoustic.json").read_text(encoding="utf-8"))
    return {"face_model": face, "acoustic_model": card["sha256"]}


def line(text: Any, most: int = 300) -> str:
    """What a stranger wrote as one line that a terminal shows as it is; "not said" for nothing."""
    said = " ".join(text.split()) if isinstance(text, str) else ""
    said = "".join(c if c.isprintable() else "?" for c in said)
    return (said[:most] + ("..." if len(said) > most else "")) or "not said"
