from pathlib import Path

import jaxtyping
import pytest

# Shapes and types in these files' signatures are checked at every call, also while jax traces it. The hook has to be
# there before they are first imported.
CHECKED = ["vast_jax.models", "vast_jax.losses", "vast_jax.face.fitting"]
jaxtyping.install_import_hook(CHECKED, "checked.checked")


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
