"""Whether the prices behind a verdict are young enough to be believed by this operator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from keeper.domain.loans import Sight
from keeper.domain.units import Address
from keeper.domain.verdicts import Kind, Verdict


def blind_when_stale(
    verdict: Verdict, sight: Sight, ages: Mapping[Address, int | None], limit: int
) -> Verdict:
    """The verdict, or blind when a feed of the rule's two assets has been silent for more than `limit` seconds.

    A feed that tells no time (a fixed or derived source) is taken at its word, as Aave takes it.
    """
    if sight.rule is None or verdict.kind in (Kind.BARRED, Kind.BLIND):
        return verdict
    for name, asset in (("collateral", sight.rule.collateral), ("debt", sight.rule.debt)):
        age = ages.get(asset)
        if age is not None and age > limit:
            return replace(
                verdict, kind=Kind.BLIND, why=f"oracle: the {name}'s price is {age} s old, over {limit} s"
            )
    return verdict
