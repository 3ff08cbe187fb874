"""python train.py configs/style.py --data DIR --workdir RUN [--steps 1000 --part.d-style 64 ...]"""

from vast_jax.training import main

if __name__ == "__main__":
    main()
