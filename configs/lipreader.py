"""The lip reader that is shipped.

python -m vast_jax.prepare GRID/s1 --out DIR
python train.py configs/lipreader.py --data DIR --workdir RUN --part.align GRID/align
"""

from vast_jax.parts.lipreader import LipReaderPart
from vast_jax.training import Config

config = Config(part=LipReaderPart(), steps=1600, batch_size=16, log_every=25, eval_every=200, save_every=200)
