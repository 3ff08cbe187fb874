"""The acoustic model in the paper's form: dense layers of 512 and a bidirectional LSTM of 512 (5.7 million parameters).

    python train.py configs/acoustic_paper.py --data LABELS --workdir RUN

For a large labelled corpus and an accelerator; configs/acoustic.py and acoustic_scratch.py suit two CPU cores.
"""

from vast_jax.parts.acoustic import AcousticPart
from vast_jax.training import Config

PART = AcousticPart(
    network="lstm", context=5, context_after=None, pairs=False, dense=512, width=512, dropout=0.1, learning_rate=1e-3
)

config = Config(part=PART, steps=50_000, batch_size=32)
