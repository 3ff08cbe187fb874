from pathlib import Path

import pytest


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
