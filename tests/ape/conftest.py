"""A devnet, a fork of it and, where there is an endpoint, a fork of mainnet; and `ape run` as a person types it.

ape's own pytest plugin is not used: it starts a chain of its own, and what is tested here is the command line.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from eth_account import Account

from keeper.devnet.aave_v3 import Aave
from keeper.devnet.anvil import DEV_ACCOUNTS, Anvil
from keeper.devnet.founding import deploy_thresholds, deploy_world
from keeper.devnet.uniswap_v3 import Uniswap
from keeper.devnet.world import Reserve, Roles, World
from keeper.domain.units import NOBODY, Address

ROOT = Path(__file__).resolve().parents[2]
ALIAS = "owner"
PASSPHRASE = "correct horse"
_OWNER_KEY = "0x" + "5a" * 32
OWNER = Address(Account.from_key(_OWNER_KEY).address)


@dataclass(frozen=True, slots=True)
class Ape:
    """`ape run` in the project's folder, with a home that holds one keystore account and nothing else."""

    home: Path

    def run(
        self,
        *arguments: str | int,
        passphrase: str | None = PASSPHRASE,
        folder: Path = ROOT,
        mainnet: str | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """What the command printed and how it ended; `mainnet` is where ape-config.yaml is to find Ethereum."""
        venv = Path(sys.executable).parent
        environment = {
            "HOME": str(self.home),
            "PATH": os.pathsep.join([str(venv), "/usr/bin", "/bin"]),
            "PYTHONPATH": str(ROOT),
        }
        if passphrase is not None:
            environment[f"APE_ACCOUNTS_{ALIAS}_PASSPHRASE"] = passphrase
        if mainnet is not None:
            environment["MAINNET_RPC_URL"] = mainnet
        command = [str(venv / "ape"), *map(str, arguments)]
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=90, check=False
        )


@pytest.fixture(scope="session")
def ape(tmp_path_factory: pytest.TempPathFactory) -> Ape:
    home = tmp_path_factory.mktemp("home")
    accounts = home / ".ape" / "accounts"
    accounts.mkdir(parents=True)
    keystore = Account.encrypt(_OWNER_KEY, PASSPHRASE, iterations=2)
    (accounts / f"{ALIAS}.json").write_text(json.dumps(keystore), encoding="utf-8")
    return Ape(home)


@pytest.fixture(scope="session")
def devnet() -> Iterator[World]:
    with Anvil() as anvil:
        world = deploy_thresholds(deploy_world(anvil.url))
        yield funded(world)


@pytest.fixture(params=["devnet", pytest.param("mainnet", marks=pytest.mark.mainnet)])
def fork(request: pytest.FixtureRequest) -> Iterator[World]:
    """A fork on which nothing of ours stands yet, and an owner with ether and nothing else."""
    if request.param == "devnet":
        origin: World = request.getfixturevalue("devnet")
        # With mainnet's id ape takes it for mainnet, and would wait for blocks that nobody mines.
        with Anvil(fork_url=origin.url, chain_id=1) as anvil:
            yield funded(replace(origin.through(anvil.url), chain_id=1, thresholds=NOBODY))
        return
    url = os.environ.get("MAINNET_RPC_URL")
    if not url:
        pytest.skip("MAINNET_RPC_URL is not set, so nothing is forked from mainnet")
    with Anvil(fork_url=url) as anvil:
        yield funded(mainnet(anvil))


def funded(world: World) -> World:
    """The same world, where the owner of the keystore has ether."""
    world.node.ask("anvil_autoImpersonateAccount", True)
    world.node.ask("anvil_setBalance", OWNER, hex(10**21))
    return replace(world, roles=replace(world.roles, owner=OWNER))


def mainnet(anvil: Anvil) -> World:
    """Ethereum's own Aave V3 and Uniswap V3 as a world, as far as these tests look at it.

    Source: @bgd-labs/aave-address-book 4.44.22 and @uniswap/sdk-core 7.19.4, compared one by one; the pool is the
    factory's CREATE2 address of the pair, which tests/protocols computes.
    """
    weth = Address("0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2")
    usdc = Address("0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48")
    deployer, _, twin, keeper, liquidator, arbitrageur, stranger = DEV_ACCOUNTS[:7]
    return World(
        url=anvil.url,
        chain_id=1,
        aave_version="as it stands on mainnet",
        block=anvil.node.head().number,
        roles=Roles(deployer, OWNER, twin, keeper, liquidator, arbitrageur, stranger),
        reserves=(
            Reserve(
                "WETH",
                18,
                weth,
                NOBODY,
                Address("0x4d5F47FA6A74757f35C14fD3a6Ef8E3C9BC514E8"),
                Address("0xeA51d7853EEFb32b6ee06b1C12E6dcCA88Be0fFE"),
            ),
            Reserve(
                "USDC",
                6,
                usdc,
                NOBODY,
                Address("0x98C23E9d8f34FEFb1B7BD6a91B7FF122F4e16F5c"),
                Address("0x72E95b8931767C79bA4EeE721354d6E99a61D004"),
            ),
        ),
        aave=Aave(
            addresses_provider=Address("0x2f39d218133AFaB8F2B819B1066c7E434Ad94E9e"),
            pool=Address("0x87870Bca3F3fD6335C3F4ce8392D69350B4fA4E2"),
            configurator=NOBODY,
            acl=NOBODY,
            oracle=Address("0x54586bE62E3c3580375aE3723C145253060Ca0C2"),
            data_provider=NOBODY,
        ),
        uniswap=Uniswap(
            factory=Address("0x1F98431c8aD98523631AE4a59f267346ea31F984"),
            position_manager=NOBODY,
            swap_router=NOBODY,
            swap_router_02=NOBODY,
            quoter=NOBODY,
            tick_lens=NOBODY,
        ),
        pool=Address("0x88e6A0c2dDD26FEEb64F039a2c41296FcB3f5640"),
        multicall=Address("0xcA11bde05977b3631167028862bE2a173976CA11"),
    )
