"""Makes vast_jax/assets/renderer.safetensors, from which the renderer of a new person starts.

    python tools/make_renderer_start.py runs/renderer/export

Of an avatar's bundle it keeps the renderer's weights; the person's colours, range and template stay behind.
"""

import sys
from pathlib import Path

from vast_jax.weights import exports

ASSETS = Path(__file__).parent.parent / "vast_jax" / "assets"
KEPT = ("data", "licence", "figures")


def main(bundle: str) -> None:
    weights, card = exports.load(bundle)
    config = {name: value for name, value in card["config"].items() if name not in ("region", "composite")}
    about = {name: card[name] for name in KEPT} | {"part": "renderer", "config": config}
    print(exports.export(ASSETS, "renderer", {"renderer": weights["renderer"]}, about))


if __name__ == "__main__":
    main(*sys.argv[1:])
