"""VAST in JAX: a talking avatar from speech, in the facial style of anybody's short video."""

import os

# NumPy's products are small here, and OpenBLAS's threads spin between them: beside XLA's a rendered frame took 37 ms on
# two cores, without them 23. It is read when NumPy is first imported; whoever sets it keeps what they set.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

__version__ = "0.1.0"
