"""VAST in JAX: a talking avatar from speech, in the facial style of anybody's short video."""

__version__ = "0.1.0"
