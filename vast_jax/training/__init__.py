"""Training: one loop for every part, its configs, checkpoints, devices and hosts."""

from vast_jax.training.config import Config as Config
