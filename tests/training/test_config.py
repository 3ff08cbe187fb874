import json

import pytest

from vast_jax.parts.style import StylePart
from vast_jax.training.config import CONFIGS, Config, check_same_run, describe, parse_command, read_config
from vast_jax.types import UserError


@pytest.mark.parametrize("name", ["style", "style.py", "configs/style.py"])
def test_a_config_that_comes_with_the_package_is_found_by_its_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_config(name) == read_config(CONFIGS / "style.py")


def test_a_file_comes_before_a_name_and_an_unknown_one_is_told_the_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (CONFIGS / "style.py").read_text().replace("config = Config(", "config = Config(seed=5, ")
    (tmp_path / "style.py").write_text(text)
    assert read_config("style.py").seed == 5
    with pytest.raises(UserError, match=r"styel: no such config file; by name there are acoustic, .*style"):
        read_config("styel")


def test_a_config_by_name_takes_overrides(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = parse_command(["style", "--data", "d", "--workdir", "w", "--part.attention-window", "7"])
    assert given.config.part.attention_window == 7


def test_a_run_from_before_fields_had_their_names_resumes_and_with_other_values_does_not(tmp_path):
    config = Config(StylePart(attention_window=12, example_frames=80), steps=3, batch_size=2)
    stored = describe(config)
    for before, now in StylePart.renamed.items():
        stored["part"][before] = stored["part"].pop(now)
    assert {"reach", "window"} <= set(stored["part"])
    (tmp_path / "config.json").write_text(json.dumps(stored))
    check_same_run(config, tmp_path / "config.json")
    other = Config(StylePart(attention_window=13, example_frames=80), steps=3, batch_size=2)
    with pytest.raises(UserError, match=r"part\.attention_window = 12, this command 13"):
        check_same_run(other, tmp_path / "config.json")
