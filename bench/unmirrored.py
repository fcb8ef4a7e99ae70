"""`python -m bench.unmirrored …`: the keeper's command line with a keeper that reads every loan in every turn.

What the keeper did before it had a mirror, and does still for a few loans.
"""

from __future__ import annotations

from functools import partial

from keeper import app, cli
from keeper.positions.loans import LoanPositions

if __name__ == "__main__":
    app.KINDS = {**app.KINDS, "loans": partial(LoanPositions, mirrored_from=2**63)}
    cli.main()
