"""Closed forms beside the simulation: what a band, a loan or a range should cost and risk, if prices were geometric
Brownian motion. `docs/planner-theory.md` says where they are unsafe.

Assumes: years, fractions and natural logarithms throughout; `volatility` is a year's (0.8 is 80 %), `cost` the one-way
proportional cost of a trade as a fraction of what is traded, `fixed_cost` a trade's cost that does not grow with it,
as a fraction of wealth, `risk_aversion` the relative one.
"""
