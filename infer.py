"""python infer.py --speech a.wav --prompt b.mp4 --avatar DIR --out c.mp4 (see --help; no arguments: the demo)."""

from vast_jax.signals import end_at_once

if __name__ == "__main__":
    end_at_once()
    from vast_jax.infer import main  # which imports much

    main()
