import errno
import os
import subprocess
import sys

import pytest

from vast_jax.training import workdir
from vast_jax.training.workdir import disk_errors, locked
from vast_jax.types import UserError

HOLD = """
import pathlib, sys
from vast_jax.training.workdir import locked
with locked(pathlib.Path(sys.argv[1])):
    print("in", flush=True)
    input()
"""


def test_two_runs_do_not_share_a_folder_and_a_killed_one_leaves_no_lock(tmp_path):
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout.readline() == "in\n"
    with pytest.raises(UserError, match="in use by another run"), locked(tmp_path):
        pass
    other.kill()
    other.wait()
    with locked(tmp_path):
        pass
    with locked(tmp_path):  # nor does one that ended
        pass


def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch, capsys):
    def impossible(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(workdir.fcntl, "flock", impossible)
    with locked(tmp_path):
        pass
    said = capsys.readouterr().err
    assert "cannot be locked" in said and said.count("\n") == 1


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EROFS, "Read-only file system", "/run/x"),
        PermissionError(errno.EACCES, "Permission denied", "/run/x"),
        ValueError("RESOURCE_EXHAUSTED: Error writing\nlocal file [OS error 28: ENOSPC No space left on device]"),
    ],
)
def test_a_disk_that_cannot_be_written_is_one_line(error):
    said = r"^/run cannot be written \(.*last good checkpoint: 7$"
    with pytest.raises(UserError, match=said), disk_errors("/run", lambda: 7):
        raise error


@pytest.mark.parametrize(
    "error", [RuntimeError("RESOURCE_EXHAUSTED: GPU"), FileNotFoundError(errno.ENOENT, "No such file", "/data")]
)
def test_other_errors_stay_what_they_are(error):
    with pytest.raises(type(error)), disk_errors("/run", lambda: 7):
        raise error
