"""The acoustic model that streams and begins from Whisper tiny.

    python -m vast_jax.label.synthetic_speech --voices kokoro-js-1.2.1.tgz --dictionary cmudict.dict \
        --out speech/kokoro --hours 3
    python -m vast_jax.label speech/kokoro --out LABELS/kokoro
    python -m vast_jax.label SPEECH... --transcripts FILE... --whisper MODEL --out LABELS/real
    python -m vast_jax.parts.acoustic_start WHISPER_TINY --labels LABELS --out START
    python train.py configs/acoustic.py --data LABELS --workdir RUN --init-from START --part.teacher START/teacher

It looks 183 ms ahead and has 7.6 million parameters, 7.7 MB in int8. Its four layers learn the labels, and to say what
Whisper's say when they hear all of the clean speech, without which so little speech makes them forget. Expect .64 of
the spoken frames on unseen LibriSpeech speakers (20 ms; .70 of video frames): a minute on an H100 and what compiling
takes, two and a half hours on two CPU cores. The augmentation works on small arrays, which several BLAS threads only
slow.
"""

from vast_jax.parts.acoustic import AcousticPart
from vast_jax.training import Config

LICENCE = (
    "Apache-2.0; begins from Whisper tiny (OpenAI, MIT), trained on GRID and LibriSpeech (both CC-BY 4.0), LJ Speech "
    "(public domain) and speech by Kokoro-82M (Apache-2.0)"
)

config = Config(
    part=AcousticPart(
        network="transformer",
        stored="int8",
        dropout=0.05,
        balance=0.4,
        learning_rate=1.5e-4,
        licence=LICENCE,
    ),
    steps=2500,
    batch_size=32,
    log_every=100,
    eval_every=2500,
    save_every=500,
)
