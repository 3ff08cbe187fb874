"""SyncNet, the lip-sync metric, sized for one CPU core: the one that is shipped.

    python -m vast_jax.prepare VIDEOS... --out DIR
    python train.py configs/syncnet.py --data DIR --workdir RUN
    python -m vast_jax.metrics.sync --data DIR --weights RUN/export

Trained on 12 minutes of GRID s1 and 11 minutes of about 55 other talkers: 21 minutes on one busy core. Expect on 60
held-out GRID clips every offset and every move of 3 frames found within a frame, own speech told from another sentence
by confidence with an AUC of .99; on 21 clips of unseen people every move found, and .95.
"""

from vast_jax.parts.syncnet import SyncNetPart
from vast_jax.training import Config

config = Config(part=SyncNetPart(), steps=2000, batch_size=8, log_every=50, eval_every=500, save_every=500)
