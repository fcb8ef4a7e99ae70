"""What tokens call themselves, asked once for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from keeper.chain.node import Node
from keeper.chain.reads import ask_together
from keeper.domain.blocks import Block
from keeper.domain.errors import Blind
from keeper.domain.plans import Asset, Call
from keeper.domain.units import Address
from keeper.protocols import erc20

_LONGEST_SYMBOL: Final = 16


class Assets:
    """A book of tokens; `Blind` for an address that tells no decimals."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._known: dict[Address, Asset] = {}

    def of(self, addresses: Sequence[Address], block: Block) -> tuple[Asset, ...]:
        """The tokens in the order asked for."""
        new = [address for address in dict.fromkeys(addresses) if address not in self._known]
        if new:
            calls = [Call(token, method.call()) for token in new for method in (erc20.SYMBOL, erc20.DECIMALS)]
            answers = ask_together(self._node, calls, block.hash)
            for token, symbol, decimals in zip(new, answers[::2], answers[1::2], strict=True):
                if not decimals:
                    raise Blind(f"chain: {token} tells no decimals")
                (places,) = erc20.DECIMALS.read(decimals)
                self._known[token] = Asset(token, _printable(erc20.read_symbol(symbol)) or token, places)
        return tuple(self._known[address] for address in addresses)


def _printable(symbol: str) -> str:
    """A stranger's text, fit for a line of a terminal: short, and nothing in it that is not seen."""
    return "".join(letter for letter in symbol if letter.isprintable())[:_LONGEST_SYMBOL].strip()
