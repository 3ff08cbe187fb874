"""The model card: README.md of a bundle, for people; its first lines are what Hugging Face reads."""

from collections.abc import Mapping
from typing import Any

from vast_jax.share.about import About, fits, line
from vast_jax.weights.bundle import AVATAR, PROMPT


def model_card(told: About, name: str, file: str) -> str:
    """Markdown: what it is, how to use it, whose it is, and what is known of it.

    Args:
      told: as from `about.about`.
      name: of the folder in the example.
      file: of weights, or of the style; its hash is in the card.
    """
    card = told.card
    rows = {
        "data": line(card.get("data")),
        "licence": line(card.get("licence"), 2000),
        "consent of the person shown": line(card.get("consent"), 2000) if told.kind == AVATAR else None,
        "consent": line(card["consent"], 2000) if told.kind != AVATAR and card.get("consent") else None,
        "author": line(card.get("author")),
        "face model": _model(card, "face_model", 0),
        "acoustic model": _model(card, "acoustic_model", 1),
        "made with": f"vast_jax {line(card.get('version'))}",
        "sha256 of " + file: line(card.get("sha256")),
    }
    person = told.kind in (AVATAR, PROMPT)
    parts = [
        "---\nlicense: other\nlibrary_name: vast_jax\ntags: [talking-head, ai-generated]\n---\n",
        f"# {_cell(name)}\n",
        f"For vast_jax: {_cell(told.what)}.\n",
        "## How to use it\n",
        f"```sh\npython -m vast_jax.share fetch WHERE_THIS_IS --out {name}\n{told.use(name)}\n```\n",
        "## What it is\n",
        "| | |\n| --- | --- |\n"
        + "\n".join(f"| {key} | {_cell(value)} |" for key, value in rows.items() if value)
        + "\n",
    ]
    if figures := _figures(card.get("figures")):
        parts += ["## Figures\n", f"Of the last evaluation of its training.\n\n{figures}\n"]
    if person:
        parts += [
            "## Responsible use\n",
            "It is of a real person, or derived from one: use it within what that person agreed to, and say that what "
            "you make of it is AI-generated.\n",
        ]
    return "\n".join(parts)


def _model(card: Mapping[str, Any], key: str, position: int) -> str:
    have = card.get(key)
    return fits(card)[position] + (f": {line(have)}" if have else "")


def _figures(figures: Any) -> str:
    if not isinstance(figures, dict):
        return ""
    rows = [f"| {_cell(line(k))} | {v:.4g} |" for k, v in figures.items() if isinstance(v, int | float)]
    return "| figure | value |\n| --- | ---: |\n" + "\n".join(rows) if rows else ""


def _cell(text: str) -> str:
    """Text that Markdown shows as it is."""
    return "".join(f"\\{c}" if c in "\\`*[]|#<>" else c for c in text)
