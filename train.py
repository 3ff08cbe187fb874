"""python train.py configs/style.py --data DIR --workdir RUN [--steps 1000 --part.d-style 64 ...]"""

from vast_jax.signals import end_at_once

if __name__ == "__main__":
    end_at_once()
    from vast_jax.training.loop import main  # which imports much

    main()
