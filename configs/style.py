"""Style transfer, sized for two CPU cores: the one that is shipped.

    python -m vast_jax.prepare VIDEOS... --out DIR
    python train.py configs/style.py --data DIR --workdir RUN

Trained on 12 minutes of GRID s1 and 13 minutes of about 65 expressive talkers: 20 to 25 minutes on one core. Expect on
held-out GRID clips lip aperture correlated with the true one by .92 (.54 with the speech of another clip) and a mouth
error of 1.13 mm (1.76; mean expression 2.12); on unseen talkers a correlation of .54; different styles are 2.3 times
as far apart as two halves of one prompt. `--part.corpora grid/` makes weights of open data alone; `docs/style.md` has
more figures.
"""

from vast_jax.parts.style import StylePart
from vast_jax.training import Config

config = Config(part=StylePart(), steps=2500, batch_size=16, log_every=50, eval_every=1000, save_every=500)
