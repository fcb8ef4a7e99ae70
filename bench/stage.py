"""Chains to measure on: the devnet's world, and in it as many borrowers with a rule as are asked for.

Assumes: the development group is installed, since the benchmark's own contracts are compiled here.
"""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from vyper.compiler import compile_code
from vyper.compiler.input_bundle import FilesystemInputBundle

from keeper.devnet.anvil import Anvil, node_modules
from keeper.devnet.artifacts import Compiled, compiled, read_json
from keeper.devnet.founding import deploy_thresholds, deploy_world
from keeper.devnet.transactions import GAS, calldata, create_address, in_one_block
from keeper.devnet.world import World
from keeper.domain.units import BASE, BPS, Address

ROOT: Final = Path(__file__).resolve().parents[1]
_LOAN: Final = "(uint256,uint256,uint256,uint256)"
_OPENED_AT_ONCE: Final = 16
_BATCH: Final = 40
_WETH_THRESHOLD_BPS: Final = 8_300


@contextmanager
def raised(weth_is_token0: bool = False) -> Iterator[World]:
    """Real Aave V3 and Uniswap V3 on a fresh Anvil, the thresholds contract beside them."""
    with Anvil() as anvil:
        yield deploy_thresholds(deploy_world(anvil.url, weth_is_token0=weth_is_token0))


def vyper_contract(path: str) -> Compiled:
    """A contract compiled from its source; `path` from the project's folder."""
    file = ROOT / path
    output = compile_code(
        file.read_text(encoding="utf-8"),
        contract_path=file,
        resolved_path=file,
        output_formats=("abi", "bytecode"),
        input_bundle=FilesystemInputBundle([Path(sysconfig.get_path("purelib")), ROOT]),
    )
    return compiled(file.stem, {**output, "linkReferences": {}})


def placed(world: World, path: str, *arguments: Any) -> Address:
    """Where a contract of ours stands after being deployed."""
    with in_one_block(world.node, world.roles.deployer) as queue:
        return queue.create(vyper_contract(path), *arguments)


def pool_abi() -> Any:
    """The whole ABI of Aave's pool, as its users load it."""
    folder = node_modules() / "@aave/core-v3/artifacts/contracts/protocol/pool/Pool.sol"
    return read_json(folder / "Pool.json")["abi"]


def open_crowd(
    world: World, supplied_eth: int, healths: Sequence[float], floors_bps: Sequence[int], target_bps: int
) -> list[Address]:
    """One borrower for each health factor and floor: so much WETH supplied, USDC owed, a rule and its allowance.

    Dozens are opened in a transaction and all of them in a few blocks. The addresses come back in order.
    """
    deployer, weth = world.roles.deployer, world.weth
    parts = (world.aave.pool, world.thresholds, weth.token, weth.a_token, world.usdc.token)
    crowd = placed(world, "bench/crowd_mock.vy", *parts)
    supplied = supplied_eth * 10**weth.decimals
    _lend_ether(world, crowd, supplied * len(healths))
    worth = supplied_eth * world.price("WETH") * _WETH_THRESHOLD_BPS // BPS
    unit = 10**world.usdc.decimals
    loans = [
        (supplied, int(worth / health) * unit // BASE, floor, target_bps)
        for health, floor in zip(healths, floors_bps, strict=True)
    ]
    nonce = int(world.node.ask("eth_getTransactionCount", deployer, "latest"), 16)
    transactions = [
        {
            "from": deployer,
            "to": crowd,
            "gas": hex(GAS),
            "nonce": hex(nonce + at),
            "data": calldata(f"open({_LOAN}[])", loans[start : start + _OPENED_AT_ONCE]),
        }
        for at, start in enumerate(range(0, len(loans), _OPENED_AT_ONCE))
    ]
    world.automine(False)
    for start in range(0, len(transactions), _BATCH):
        batch = transactions[start : start + _BATCH]
        world.node.ask_many([("eth_sendTransaction", [fields]) for fields in batch])
        world.mine(1)
        receipts = world.node.ask("eth_getBlockReceipts", "latest")
        assert [found["status"] for found in receipts] == ["0x1"] * len(batch), "a loan was not opened"
    world.automine(True)
    return [create_address(crowd, nonce) for nonce in range(1, len(healths) + 1)]


def _lend_ether(world: World, crowd: Address, amount: int) -> None:
    deployer, weth = world.roles.deployer, world.weth.token
    world.send(deployer, weth, "deposit()", value=amount)
    world.send(deployer, weth, "transfer(address,uint256)", crowd, amount)
