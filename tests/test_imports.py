"""The contracts of `lint-imports` in pyproject.toml: which room may import which."""

from pathlib import Path

from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports


def test_imports_run_downward(monkeypatch, tmp_path):
    root = Path(__file__).resolve().parents[1]
    monkeypatch.chdir(root)
    assert lint_imports(config_filename="pyproject.toml", cache_dir=str(tmp_path)) == EXIT_STATUS_SUCCESS
