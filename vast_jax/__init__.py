"""VAST in JAX: a talking avatar from speech, in the facial style of anybody's short video."""

import os
import sys

# NumPy's products are small here, and OpenBLAS's threads spin between them: beside XLA's a rendered frame took 37 ms on
# two cores, without them 23. It is read when NumPy is first imported; whoever sets it keeps what they set.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

__version__ = "0.2.0"

_started = sys.argv[0] if sys.argv else ""
_as_module = _started == "-m" and any("vast_jax" in word for word in sys.orig_argv)  # so Python names it meanwhile
if _as_module or os.path.basename(_started).startswith("vast-"):  # a command
    from vast_jax.signals import end_at_once

    end_at_once()
