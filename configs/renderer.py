"""The renderer of one person, sized for two CPU cores: half width, 160 pixels around the face.

    python -m vast_jax.prepare VIDEOS... --out DIR
    python train.py configs/renderer.py --data DIR --workdir RUN
    python infer.py --avatar RUN/export

It begins with the shipped renderer: its 1,200 steps make an avatar of a minute of footage in 20 minutes on one core.
`docs/renderer.md` tells what was measured.
"""

from vast_jax.parts.renderer import RendererPart
from vast_jax.training import Config

config = Config(part=RendererPart(), steps=1200, batch_size=1, log_every=50, eval_every=300, save_every=100)
