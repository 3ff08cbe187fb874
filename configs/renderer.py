"""The renderer of one person, sized for two CPU cores: half width, the 160 pixels around the face.

    python -m vast_jax.prepare VIDEOS... --out DIR
    python train.py configs/renderer.py --data DIR --workdir RUN
    python infer.py --avatar RUN/export

12 minutes of GRID s1: 37 minutes on one core. The README's figures are of this config and, after it, of 900 steps more
from its export (`--init-from`) when the acoustic model had changed.
"""

from vast_jax.parts.renderer import RendererPart
from vast_jax.training import Config

config = Config(part=RendererPart(), steps=2100, batch_size=1, log_every=50, eval_every=700, save_every=100)
