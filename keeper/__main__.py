"""Where the command `keeper` begins: an interrupt ends it without a word, also while the rest is being imported."""

from __future__ import annotations

import signal
import sys
from typing import Final, NoReturn

INTERRUPTED: Final = 130
"""What a shell makes of a command that SIGINT ended."""


def main() -> NoReturn:
    """The console script."""
    # Where it is ignored, whoever started this wants it to be.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda *_: sys.exit(INTERRUPTED))
    from keeper.cli import main as command

    command()


if __name__ == "__main__":
    main()
