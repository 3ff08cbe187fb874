import errno
import os
import pickle

import pytest

from vast_jax.errors import Unwritable, UserError
from vast_jax.files import atomic_path, check_writable, room_for, sha256


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


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("write() failed: No space left on device; writing /x/.a.1/a; at byte 548864"),
        UserError("cannot write /x/.a.1/a: Error writing trailer: No space left on device"),
        Unwritable(errno.ENOSPC, "No space left on device", "/x/.a.1/a"),
    ],
)
def test_a_full_disk_in_whatever_words_is_one_line_with_the_path_that_was_wanted(tmp_path, error):
    said = f"^{tmp_path / 'a'} cannot be written \\(No space left on device\\): make room"
    with pytest.raises(Unwritable, match=said) as caught, atomic_path(tmp_path / "a") as part:
        part.write_text("half")
        raise error
    assert not any(tmp_path.iterdir())
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # workers send it


def test_an_error_that_is_not_of_the_disk_stays_what_it_is(tmp_path):
    with pytest.raises(FileNotFoundError), room_for(tmp_path):
        (tmp_path / "missing").read_bytes()


def test_a_file_where_a_folder_should_be_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "deep"):
        with pytest.raises(Unwritable, match="Not a directory"), atomic_path(folder / "a"):
            pass
        with pytest.raises(Unwritable, match="Not a directory"):
            check_writable(folder)


def test_a_folder_that_may_not_be_written_is_known_before_it_is(tmp_path, monkeypatch):
    check_writable(tmp_path / "new" / "deep")
    assert not any(tmp_path.iterdir())
    monkeypatch.setattr(os, "access", lambda *_: False)  # whoever tests may be root
    with pytest.raises(Unwritable, match="Permission denied"):
        check_writable(tmp_path / "new")


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
