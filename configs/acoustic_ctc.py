"""The acoustic model learned from what was said where nobody knows when: connectionist temporal classification.

    python -m vast_jax.label SPEECH... --transcripts FILE... --no-align --out LABELS/speech
    python train.py configs/acoustic_ctc.py --data LABELS --workdir RUN

For speech that cannot be aligned, 12 s an utterance at most. Where alignments exist, configs/acoustic.py needs less
speech and is truer in time: CTC's posteriors are short peaks, which are stretched a little when they are used.
"""

from vast_jax.parts.acoustic import AcousticPart
from vast_jax.training import Config

config = Config(
    part=AcousticPart(ctc=True, window=430), steps=20_000, batch_size=8, log_every=50, eval_every=2000, save_every=500
)
