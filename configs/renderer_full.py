"""The renderer of one person in the paper's size, for accelerators: the whole 256 crop, clips of 16 frames.

    python train.py configs/renderer_full.py --data DIR --workdir RUN

The paper gives no weights of its losses but 1, does not match features and has no coarse errors: add
--part.l1-weight 1 --part.perceptual-weight 1 --part.gan-weight 1 --part.matching-weight 0 --part.coarse-weight 0.
"""

from vast_jax.parts.renderer import RendererPart
from vast_jax.training import Config

part = RendererPart(
    clip_frames=16,
    region=256,
    patch=256,
    composite=False,
    widths=(64, 128, 256),
    ppg_features=128,
    upsampling="transposed",
    normalised=True,
    textured=False,
    discriminator_widths=(64, 128, 256, 512),
    adversarial_from=0.0,
    judged_frames=0,
    learning_rate=1e-4,
    discriminator_learning_rate=1e-4,
    beta1=0.5,
)
config = Config(part=part, steps=100_000, batch_size=2, log_every=100, eval_every=5000, save_every=1000)
