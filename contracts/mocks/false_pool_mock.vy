# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title A contract that pretends to be a pool
@custom:contract-name false_pool_mock
@license MIT
@notice Calls the swap callback of its victim with whatever figures and data it is told to.
"""

interface ISwapper:
    def uniswapV3SwapCallback(delta_0: int256, delta_1: int256, data: Bytes[224]): nonpayable


@external
def call_back(victim: address, delta_0: int256, delta_1: int256, data: Bytes[224]):
    extcall ISwapper(victim).uniswapV3SwapCallback(delta_0, delta_1, data)
