"""Where commands keep what they would otherwise compute again at every start."""

import jax
import platformdirs


def use_compilation_cache() -> None:
    """Keeps compiled XLA programs in the user's cache folder, so that a command's next start is quick."""
    if jax.config.jax_compilation_cache_dir is None:  # JAX_COMPILATION_CACHE_DIR has the first word
        jax.config.update("jax_compilation_cache_dir", str(platformdirs.user_cache_path("vast_jax") / "xla"))
