"""What an ERC-20 token tells of itself.

Source: EIP-20; a few tokens older than it answer `symbol` with 32 bytes instead of a string.
"""

from __future__ import annotations

from typing import Final

from eth_utils.crypto import keccak

from keeper.domain.errors import Blind
from keeper.protocols.methods import Method

SYMBOL: Final = Method("symbol", (), ("string",))
DECIMALS: Final = Method("decimals", (), ("uint8",))
BALANCE_OF: Final = Method("balanceOf", ("address",), ("uint256",))
ALLOWANCE: Final = Method("allowance", ("address", "address"), ("uint256",))
TRANSFER_TOPIC: Final = "0x" + keccak(text="Transfer(address,address,uint256)").hex()


def read_symbol(returned: bytes | None) -> str:
    """The symbol in an answer, empty when it makes no sense."""
    if not returned:
        return ""
    if len(returned) == 32:
        return returned.rstrip(b"\0").decode("utf-8", "replace")
    try:
        symbol: str = SYMBOL.read(returned)[0]
    except Blind:
        return ""
    return symbol
