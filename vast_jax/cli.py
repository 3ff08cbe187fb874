"""What every command shares: bad input ends in one line on standard error and exit code 2."""

import sys
from collections.abc import Callable

from vast_jax.types import UserError


def run(main: Callable[[], object]) -> None:
    """Runs a command's main function; a UserError becomes its one line and exit code 2, Ctrl-C exit code 130."""
    try:
        main()
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
