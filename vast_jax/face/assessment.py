"""The name that `vast_jax.face_models.assessment` had before 0.2; it goes with 0.3."""

from vast_jax.cli import moved

if __name__ == "__main__":
    moved("vast_jax.face_models.assessment")
