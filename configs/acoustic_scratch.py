"""The acoustic model that streams and begins from nothing: residual convolutions (2.9 million parameters).

    python train.py configs/acoustic_scratch.py --data LABELS --workdir RUN

Looks 190 ms ahead. For many hours of labelled speech; of three hours, configs/acoustic.py makes more.
"""

from vast_jax.parts.acoustic import AcousticPart
from vast_jax.training import Config

config = Config(part=AcousticPart(), steps=20_000, batch_size=16, log_every=50, eval_every=2000, save_every=500)
