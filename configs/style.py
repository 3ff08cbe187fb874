"""Style transfer, sized for two CPU cores: the one that is shipped.

    python -m vast_jax.prepare VIDEOS... --out DIR
    python train.py configs/style.py --data DIR --workdir RUN

Trained on 12 minutes of GRID s1 and 13 minutes of about 65 expressive talkers: 35 minutes on one busy core. Expect on
held-out GRID clips: lip aperture correlated with the true one by .93 (.59 with the speech of another clip), mouth error
.93 mm (1.28; mean expression 1.75), and styles of different people 2.5 times as far apart as two halves of one prompt.
"""

from vast_jax.parts.style import StylePart
from vast_jax.training import Config

config = Config(part=StylePart(), steps=3500, batch_size=16, log_every=50, eval_every=1000, save_every=500)
