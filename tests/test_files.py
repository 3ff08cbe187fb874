import pytest

from vast_jax.files import atomic_path, sha256


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "deep" / "a.txt"
    with pytest.raises(RuntimeError), atomic_path(target) as part:
        part.write_text("half")
        raise RuntimeError
    assert not target.exists() and list(target.parent.iterdir()) == []
    with atomic_path(target) as part:
        part.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole" and list(target.parent.iterdir()) == [target]


def test_others_may_read_what_is_written(tmp_path):
    (tmp_path / "plain").touch()
    with atomic_path(tmp_path / "a") as part:
        part.touch(mode=0o600)
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_folder_replaces_the_old_one(tmp_path):
    target = tmp_path / "export"
    for word in ("old", "new"):
        with atomic_path(target) as part:
            part.mkdir()
            (part / word).touch()
    assert [path.name for path in target.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [target]


def test_sha256_of_a_file_is_that_of_its_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2's test vector
    assert sha256(tmp_path / "a") == sha256(b"abc") == known
