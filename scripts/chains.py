"""Write keeper/data/chains.json: where Aave V3 and Uniswap V3 stand on the chains people use, as the protocols say.

    .venv/bin/python scripts/chains.py

Both publish their addresses as packages of npm; these are pinned below, fetched by npm, held against the integrity
that was pinned with them, and read by node. To follow a newer release change both, and look at what differs.
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parents[1] / "keeper" / "data" / "chains.json"


@dataclass(frozen=True, slots=True)
class Package:
    """One release of a package, and npm's own checksum of its archive."""

    name: str
    version: str
    integrity: str


AAVE = Package(
    "@aave-dao/aave-address-book",
    "4.68.1",
    "sha512-Tw1j/0OGN90m6cpaiNwpizxkBq4XzVgJqhz/fWdq9wF7yc2MAghVrsRWrCICBUiG+P7GKYd84mwULH0XVW3QTA==",
)
UNISWAP = Package(
    "@uniswap/sdk-core",
    "7.19.4",
    "sha512-jV9qVMMD6qvEATgfFnZ3QgrhIMv5lullzeGPWjyC4+sUctatft+1M+OtAZxxjbFm8NQfJA73hqIeFPOg4cUyoA==",
)
# The name by which a person says a chain, that of its market in Aave's book, and its own.
CHAINS = {
    "ethereum": ("AaveV3Ethereum", "Ethereum"),
    "optimism": ("AaveV3Optimism", "OP Mainnet"),
    "polygon": ("AaveV3Polygon", "Polygon"),
    "base": ("AaveV3Base", "Base"),
    "arbitrum": ("AaveV3Arbitrum", "Arbitrum One"),
}
_READ = """
const [aave, uniswap, markets] = process.argv.slice(1);
const { CHAIN_TO_ADDRESSES_MAP } = require(`${uniswap}/dist/cjs/src/addresses.js`);
(async () => {
  const found = {};
  for (const name of markets.split(",")) {
    const market = await import(`${aave}/dist/${name}.mjs`);
    found[name] = { market: { ...market }, uniswap: CHAIN_TO_ADDRESSES_MAP[market.CHAIN_ID] };
  }
  console.log(JSON.stringify(found));
})();
"""


def main() -> None:
    """Fetch, read and write."""
    with tempfile.TemporaryDirectory() as folder:
        aave, uniswap = (fetched(package, Path(folder)) for package in (AAVE, UNISWAP))
        found = read(aave, uniswap)
    told: dict[str, Any] = {
        "sources": [asdict(AAVE), asdict(UNISWAP)],
        "chains": {name: chain(found[market], title) for name, (market, title) in CHAINS.items()},
    }
    DATA.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    count = sum(len(each["assets"]) for each in told["chains"].values())
    print(f"{DATA}: {count} assets on {len(CHAINS)} chains")


def fetched(package: Package, folder: Path) -> Path:
    """A package's files; SystemExit when the archive is not the one that was pinned."""
    asked = ["npm", "pack", "--silent", f"{package.name}@{package.version}"]
    name = subprocess.run(asked, cwd=folder, capture_output=True, text=True, check=True).stdout.split()[-1]
    archive = folder / name
    kind, _, wanted = package.integrity.partition("-")
    digest = base64.b64encode(hashlib.new(kind, archive.read_bytes()).digest()).decode()
    if digest != wanted:
        sys.exit(
            f"chains: {package.name} {package.version} has {kind}-{digest}, and {package.integrity} was pinned"
        )
    into = folder / package.name.replace("/", "-")
    with tarfile.open(archive) as files:
        files.extractall(into, filter="data")
    return into / "package"


def read(aave: Path, uniswap: Path) -> dict[str, Any]:
    """What both say of every market."""
    markets = ",".join(market for market, _ in CHAINS.values())
    asked = ["node", "-e", _READ, str(aave), str(uniswap), markets]
    found: dict[str, Any] = json.loads(
        subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    )
    return found


def chain(found: dict[str, Any], title: str) -> dict[str, Any]:
    """What of it a keeper uses."""
    market, uniswap = found["market"], found["uniswap"]
    return {
        "id": market["CHAIN_ID"],
        "title": title,
        "aave": {"provider": market["POOL_ADDRESSES_PROVIDER"], "pool": market["POOL"]},
        "uniswap": {
            "factory": uniswap["v3CoreFactoryAddress"],
            "position_manager": uniswap["nonfungiblePositionManagerAddress"],
        },
        "assets": {
            symbol: {"token": asset["UNDERLYING"], "decimals": asset["decimals"], "feed": asset["ORACLE"]}
            for symbol, asset in market["ASSETS"].items()
        },
    }


if __name__ == "__main__":
    main()
