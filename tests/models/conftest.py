import pytest


@pytest.fixture(autouse=True, scope="module")
def _quick(quick_programs):
    """These tests compile much and compute little."""
