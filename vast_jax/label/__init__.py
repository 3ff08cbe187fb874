"""Speech to phones, for the acoustic model to learn: `python -m vast_jax.label`."""
