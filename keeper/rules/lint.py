"""What is wrong with an owner's rules, told before a crash tells it: each by itself, and all together. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations, product

from keeper.rules import basket_faults, loan_faults, range_faults
from keeper.rules.basket_faults import BasketCase
from keeper.rules.faults import Lint
from keeper.rules.joint_faults import loan_and_basket, range_and_basket
from keeper.rules.loan_faults import LoanCase
from keeper.rules.range_faults import RangeCase


@dataclass(frozen=True, slots=True)
class Cases:
    """All rules of one owner at one block."""

    loans: Sequence[LoanCase] = ()
    ranges: Sequence[RangeCase] = ()
    baskets: Sequence[BasketCase] = ()

    def __len__(self) -> int:
        """How many rules there are."""
        return len(self.loans) + len(self.ranges) + len(self.baskets)


def lint(cases: Cases, now: int) -> tuple[Lint, ...]:
    """Every fault of one owner's rules at unix second `now`: rule by rule, pair by pair, kind beside kind."""
    found: list[Lint] = []
    for loan in cases.loans:
        found += loan_faults.alone(loan, now)
    for one_range in cases.ranges:
        found += range_faults.alone(one_range, now)
    for basket in cases.baskets:
        found += basket_faults.alone(basket, now)
    for one, other in permutations(cases.loans, 2):
        found += loan_faults.together(one, other, now)
    for first, second in permutations(cases.ranges, 2):
        found += range_faults.together(first, second, now)
    for here, there in permutations(cases.baskets, 2):
        found += basket_faults.together(here, there, now)
    for loan, basket in product(cases.loans, cases.baskets):
        found += loan_and_basket(loan, basket)
    for one_range, basket in product(cases.ranges, cases.baskets):
        found += range_and_basket(one_range, basket, now)
    return tuple(found)
