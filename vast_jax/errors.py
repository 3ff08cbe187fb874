"""The one error that is meant for people; alone in its file, for commands that must start before JAX is imported."""


class UserError(Exception):
    """Bad input, said in one line for people: what was wrong with which file, and what to do.

    Every command turns it into that line on standard error and exit code 2.
    """
