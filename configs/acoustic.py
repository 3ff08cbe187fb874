"""The acoustic model that streams and begins from Whisper's first layers.

    python tools/make_speech.py --voices kokoro-js-1.2.1.tgz --dictionary cmudict.dict --out speech/kokoro --hours 3
    python -m vast_jax.label speech/kokoro --out LABELS/kokoro
    python -m vast_jax.label SPEECH... --transcripts FILE... --whisper MODEL --out LABELS/real
    python tools/whisper_start.py WHISPER_TINY --labels LABELS --out START
    python train.py configs/acoustic.py --data LABELS --workdir RUN --init-from START

It looks 183 ms ahead and has 4.0 million parameters, 7.9 MB in float16. Made for three hours of speech and 45 minutes
on two CPU cores. On unseen LibriSpeech speakers it names .57 of the spoken frames. Three times the learning rate, with
speech drawn more nearly by its hours, forgets what Whisper knew of real speakers: .51 after 800 steps, when this is at
.54 after 650. The augmentation works on small arrays, which several BLAS threads only slow.
"""

from vast_jax.parts.acoustic import AcousticPart
from vast_jax.training import Config

LICENCE = (
    "Apache-2.0; begins from Whisper tiny (OpenAI, MIT), trained on GRID and LibriSpeech (both CC-BY 4.0), LJ Speech "
    "(public domain) and speech by Kokoro-82M (Apache-2.0)"
)

config = Config(
    part=AcousticPart(network="transformer", dropout=0.05, balance=0.3, learning_rate=2e-4, licence=LICENCE),
    steps=2600,
    batch_size=16,
    log_every=50,
    eval_every=650,
    save_every=250,
)
