"""The acoustic model that streams: it looks 190 ms ahead (2.4 million parameters, 4.7 MB in float16).

    python tools/make_speech.py --voices kokoro-js-1.2.1.tgz --dictionary cmudict.dict --out speech/kokoro --hours 2.7
    python -m vast_jax.label SPEECH... speech/kokoro --transcripts FILE... --whisper MODEL --out LABELS
    OPENBLAS_NUM_THREADS=1 python train.py configs/acoustic.py --data LABELS --workdir RUN

Made for two CPU cores and two to four hours of speech, of which 8000 steps are some 35 rounds. More speech: more steps,
and `--part.dense 512 --part.width 320`. The augmentation works on small arrays, which several BLAS threads only slow.
"""

from vast_jax.parts.acoustic import AcousticPart
from vast_jax.training import Config

LICENCE = (
    "Apache-2.0; trained on GRID and LibriSpeech (both CC-BY 4.0), LJ Speech (public domain) and speech by Kokoro-82M "
    "(Apache-2.0)"
)

config = Config(
    part=AcousticPart(licence=LICENCE), steps=9000, batch_size=16, log_every=50, eval_every=1500, save_every=500
)
