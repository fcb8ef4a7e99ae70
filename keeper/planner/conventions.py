"""How a simulated rule sees, decides and fills: the conventions of every kernel, said once and held by golden tests.

1.  **A bar's time is when it opens.** At its close its open, high, low and close are known, and everything before.
2.  **A rule is judged on closes**, at every `look`-th bar from the first, by the judge's own code. Nothing later than
    that close, and nothing of the bar's extremes, enters the decision. A range's mean is that of the closes of its
    hold, and while the price is farther from it than the rule's deviation nothing is done.
3.  **Latency is counted in bars.** 0 fills at the close judged; n fills at the open of the n-th bar after it. A fill
    due after the last bar never happens.
4.  **The rule is judged again at the fill**, as the contract does; no longer breached, the attempt fails and costs its
    part of the gas. While one attempt is under way no second is made.
5.  **Sizes are those of the fill**: what lands the position on its destination at the fill's price, costs included.
    Of a basket only what drifted is brought back, and the rest takes up the difference. A range is laid around the
    mean and reaches just as far as its rule says; the pool's grid takes a chain's up to one spacing further.
6.  **Costs leave the position**: pool fee and price impact on the value sold, gas at the gas price of the fill's bar
    and ether's at the fill, flash premium on what is borrowed to unwind. A pool is as deep in money at every price as
    in its quotes; one of constant liquidity is deeper or shallower by the root of what the price has moved. A basket's
    weights and a range's halves are those left after paying. A loan's gas comes out of a purse beside it: it lowers net
    worth and leaves health alone.
7.  **The first close is the start**: capital is put on target there without cost.
8.  **A loan lives through a bar's adverse extreme first**: interest accrues over the time since the last bar, what fell
    due is filled at the open, liquidators see the low (of the collateral in the debt), repay the close factor's share
    of the debt and take it with the bonus, again while health is below 1; then comes the close, and the rule's turn.
9.  **A range earns for the part of a bar it was in range**: the share of ln low..ln high that lies in it.
10. **Years are bars**, times their length, over 365.25 days: an hour missing from the data counts for nothing but the
    interest of a loan and the clock of a cooldown, which go by the time stamps.
11. **An action that would eat the whole position up is not taken**, and one that no sale can carry is not either.
12. **Volatility is the chain's own measure, of the closes before the bar judged** (`volatility.fed`); while it is not
    known, for a week and three days after the last bar, a loan's floor is at its highest and a basket's band at its
    widest.
13. **A rule's other terms are left out**, each for the reason that `terms.py` gives, and every report says which.

How far a chain may be from all that is said here too: `tests/planner/test_parity.py` plays hours of Black Thursday
through the contracts with the real keeper, for each kind, and lives them through by these conventions. The actions are
the same ones, in the same bars and the same way, and no figures are further apart than `PARITY` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from keeper.planner.results import Kind


@dataclass(frozen=True, slots=True)
class Apart:
    """How far a simulated life may be from the one on the chain.

    `measure` is of every bar, in its own unit: weight, health, or ln of price. The others are shares: `worth` is of
    every bar, `sold`, `lost` (fee and slippage) and `gas` of every action.
    """

    measure: float
    worth: float
    sold: float
    lost: float
    gas: float


PARITY: Final[Mapping[Kind, Apart]] = MappingProxyType(
    {
        "basket": Apart(measure=0.0005, worth=0.001, sold=0.005, lost=0.2, gas=0.2),
        "loan": Apart(measure=0.002, worth=0.003, sold=0.005, lost=0.2, gas=0.2),
        "range": Apart(measure=0.003, worth=0.003, sold=0.04, lost=0.3, gas=0.2),
    }
)
