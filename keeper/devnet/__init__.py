"""A local chain with the real protocols on it: Anvil, Aave V3, Uniswap V3, prices that move, and those who act on them.

``anvil`` runs the node, ``world`` says what stands on it and moves its prices, ``founding`` builds it, ``actors``
holds the arbitrageur and the liquidator, ``scenario`` plays price history through it.
"""
