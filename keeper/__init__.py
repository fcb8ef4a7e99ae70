"""An on-chain rebalancing keeper: thresholds their owners wrote in contracts, held block by block.

The rooms, each importing only those before it: domain, protocols, judge, size, chain, journal, send, turn, clock,
app, cli. ``turn.py`` shows one turn on one page.
"""
