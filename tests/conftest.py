import os
import shutil
import tempfile
from pathlib import Path

# Most of the suite's time is XLA's. What one test has compiled, another, the other worker and the processes that tests
# start need not compile again: for this run they share a cache. It has to be named before jax is imported.
if "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="vast_jax-tests-")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"

import jax
import jaxtyping
import pytest

# Shapes and types in these files' signatures are checked at every call, also while jax traces it. The hook has to be
# there before they are first imported.
CHECKED = ["vast_jax.models", "vast_jax.losses", "vast_jax.face.fitting"]
jaxtyping.install_import_hook(CHECKED, "checked.checked")


def pytest_unconfigure() -> None:
    """The run's cache goes with it."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        shutil.rmtree(os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)


@pytest.fixture(scope="session")
def recordings() -> Path:
    """Three clips of GRID and a little of LibriSpeech that come with the tests: see its README.md."""
    return Path(__file__).parent / "recordings"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The team's real recordings, which lie beside the checkout where there are any; only for measurements of many."""
    path = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not path.is_dir():
        pytest.skip("the real recordings are not here")
    return path


@pytest.fixture(scope="module")
def quick_programs():
    """For tests that compile more than they compute: programs that are made fast instead of fast ones.

    Processes that these tests start do the same, for the two kinds differ in the last bit.
    """
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
        yield
    jax.config.update("jax_disable_most_optimizations", before)
