"""The basket of half and half by vectorbt, run by a Python that has it: JSON in, seconds and trades out.

It has no band of its own, so the rule is an order function that numba compiles; the first run only compiles.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import numpy.typing as npt
import vectorbt as vbt
from numba import njit
from vectorbt.portfolio import nb
from vectorbt.portfolio.enums import NoOrder, SizeType

Floats = npt.NDArray[np.float64]


@njit
def order_when_out_of_band(c, triggers, fee):  # type: ignore[no-untyped-def]
    """Back to half, where the weight has left its band; all in on half at the first bar."""
    price = c.close[c.i, c.col]
    held = c.position_now * price
    value = held + c.cash_now
    if c.i > 0 and abs(held / value - 0.5) <= triggers[c.col]:
        return NoOrder
    paid = 0.0 if c.i == 0 else fee
    return nb.order_nb((0.5 * value - held) / price, price, size_type=SizeType.Amount, fees=paid)


def run(close: Floats, triggers: Floats, fee: float) -> tuple[float, list[int]]:
    """Seconds for all triggers as columns, and the trades of each."""
    columns = np.tile(close[:, None], (1, len(triggers)))
    start = time.perf_counter()
    found = vbt.Portfolio.from_order_func(columns, order_when_out_of_band, triggers, fee, init_cash=1.0)
    taken = time.perf_counter() - start
    return taken, [int(count) - 1 for count in found.orders.count()]


def main() -> None:
    """Read what is asked from standard input, and tell it to standard output."""
    asked = json.load(sys.stdin)
    close, triggers = np.array(asked["close"]), np.array(asked["triggers"])
    run(close[:100], triggers[:2], asked["fee"])
    seconds, trades = run(close, triggers, asked["fee"])
    json.dump({"seconds": seconds, "trades": trades}, sys.stdout)


if __name__ == "__main__":
    main()
