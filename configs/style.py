"""Style transfer, sized for two CPU cores: the one that is shipped.

    python -m vast_jax.prepare VIDEOS... --out DIR
    python train.py configs/style.py --data DIR --workdir RUN

Trained on 12 minutes of GRID s1 and 13 minutes of about 65 expressive talkers: 16 minutes on one core. Expect on
held-out GRID clips: lip aperture correlated with the true one by .92 (.55 with the speech of another clip), mouth error
1.13 mm (1.61; mean expression 2.10), and styles of different people 2.5 times as far apart as two halves of one prompt.
Twice the steps move a GRID clip's mouth error to 1.10 mm, and unseen talkers' lip correlation from .42 down to .35.
"""

from vast_jax.parts.style import StylePart
from vast_jax.training import Config

config = Config(part=StylePart(), steps=3500, batch_size=16, log_every=50, eval_every=1000, save_every=500)
