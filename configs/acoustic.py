"""The acoustic model that is shipped.

    python -m vast_jax.label SPEECH... --transcripts FILE... --out LABELS
    python train.py configs/acoustic.py --data LABELS --workdir RUN

Trained on 0.7 hours (GRID s1, LibriSpeech, LJ Speech): 38 minutes on one busy core. Frame phone accuracy
without silence: GRID s1 held out .82, ten unseen LibriSpeech speakers .43.
"""

from vast_jax.parts.acoustic import AcousticPart
from vast_jax.training import Config

LICENCE = "Apache-2.0; trained on GRID and LibriSpeech (both CC-BY 4.0) and LJ Speech (public domain)"

config = Config(
    part=AcousticPart(licence=LICENCE), steps=2000, batch_size=16, log_every=50, eval_every=500, save_every=500
)
