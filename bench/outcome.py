"""How a script of this folder ends: a refusal is one line on standard error and its exit code."""

import sys
from collections.abc import Callable

from restorer.errors import RestorerError


def exit_code(work: Callable[[], object]) -> int:
    try:
        work()
    except RestorerError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0
