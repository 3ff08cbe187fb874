"""The errors that are meant for people; alone in their file, for commands that must start before JAX is imported."""

import errno

_OTHER_PLACE = "choose another place"
_MAKE_ROOM = "make room there or choose another place, then run the same command again"


class UserError(Exception):
    """Bad input, said in one line for people: what was wrong with which file, and what to do.

    Every command turns it into that line on standard error and exit code 2.
    """


class Unwritable(UserError, OSError):
    """A file or folder that cannot be written, as OSError(errno, strerror, filename): a full disk, no permission.

    It ends a command at once, where other errors of one video or clip do not: the next would fail alike.
    """

    def __str__(self) -> str:
        remedy = _MAKE_ROOM if self.errno in (errno.ENOSPC, errno.EDQUOT) else _OTHER_PLACE
        return f"{self.filename} cannot be written ({self.strerror}): {remedy}"
