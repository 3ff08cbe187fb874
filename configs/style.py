"""Style transfer, sized for two CPU cores.

    python -m vast_jax.prepare VIDEOS... --out DIR
    python train.py configs/style.py --data DIR --workdir RUN

13 minutes of about 65 expressive talkers and 12 minutes of GRID s1: about 30 minutes on one core.
"""

from vast_jax.parts.style import StylePart
from vast_jax.training import Config

config = Config(part=StylePart(), steps=8000, batch_size=16, log_every=50, eval_every=2000, save_every=1000)
