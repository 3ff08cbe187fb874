"""Footage to training data: `python -m vast_jax.prepare`."""
