"""Style transfer with the paper's 233 expression parameters, 85 of them strong and 148 weak, for accelerators.

    python -m vast_jax.prepare VIDEOS... --out DIR
    python -m vast_jax.face_models.correctives --data DIR --count 181 --out head233.npz
    python -m vast_jax.prepare VIDEOS... --out DIR233 --face-model head233.npz
    python train.py configs/style_paper.py --data DIR233 --workdir RUN --part.face-model head233.npz

The paper's own face model is not public: these are ARKit's 52 shapes and 181 more, learned from your footage, which has
to hold that many. Widths, steps and batch are our choice, for the paper names none; what `StylePart` adds to the
paper's model is off, but not its changes to the examples.
"""

from vast_jax.parts.style import StylePart
from vast_jax.training import Config

part = StylePart(
    strong_count=85,
    d_style=128,
    encoder_channels=(128, 128, 256, 256),
    encoder_state=256,
    strong_width=256,
    strong_layers=4,
    attention_window=32,
    weak_width=512,
    encoder_pooled=False,
    modulated=False,
    manner=False,
    lively=False,
    closing=False,
    statistics_weight=0.0,
    other_window=0.0,
    learning_rate=3e-4,
)
config = Config(part=part, steps=100_000, batch_size=64, log_every=100, eval_every=5000, save_every=1000)
