// Compiles Aave 3.6 out of ./node_modules and prints {name: {abi, bytecode, linkReferences}}.
//
// Assumes: `npm ci` was run in this folder. solc 0.8.27 is the first that takes require(condition, CustomError()).
// The optimiser settings are the project's choice: upstream's are not in the package, so the bytecode is not mainnet's.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.cwd(), "package.json"));
const solc = require("solc");
const aave = "@aave-dao/aave-v3-origin/src/contracts";
const entries = [
  "protocol/configuration/PoolAddressesProviderRegistry",
  "protocol/configuration/PoolAddressesProvider",
  "protocol/configuration/ACLManager",
  "misc/AaveOracle",
  "misc/DefaultReserveInterestRateStrategyV2",
  "helpers/AaveProtocolDataProvider",
  "helpers/LiquidationDataProvider",
  "instances/PoolInstance",
  "instances/PoolConfiguratorInstance",
  "instances/ATokenInstance",
  "instances/VariableDebtTokenInstance",
  "protocol/libraries/logic/SupplyLogic",
  "protocol/libraries/logic/BorrowLogic",
  "protocol/libraries/logic/LiquidationLogic",
  "protocol/libraries/logic/ConfiguratorLogic",
  "protocol/libraries/logic/PoolLogic",
  "protocol/libraries/logic/FlashLoanLogic",
];

const read = (path) => readFileSync(join("node_modules", path), "utf8");
const selection = {};
const sources = {};
for (const entry of entries) {
  const path = `${aave}/${entry}.sol`;
  sources[path] = { content: read(path) };
  selection[path] = { [entry.split("/").at(-1)]: ["abi", "evm.bytecode.object", "evm.bytecode.linkReferences"] };
}

const input = {
  language: "Solidity",
  sources,
  settings: {
    optimizer: { enabled: true, runs: 200 },
    evmVersion: "shanghai",
    metadata: { bytecodeHash: "none" },
    outputSelection: selection,
    remappings: [
      "openzeppelin-contracts/contracts/=@openzeppelin/contracts/",
      "openzeppelin-contracts-upgradeable/contracts/=@openzeppelin/contracts-upgradeable/",
      "solidity-utils/=@bgd-labs/solidity-utils/src/",
    ],
  },
};

const output = JSON.parse(solc.compile(JSON.stringify(input), { import: (path) => ({ contents: read(path) }) }));
const errors = (output.errors ?? []).filter((error) => error.severity === "error");
if (errors.length > 0) {
  console.error(errors.map((error) => error.formattedMessage).join("\n"));
  process.exit(1);
}
const found = {};
for (const contracts of Object.values(output.contracts)) {
  for (const [name, { abi, evm }] of Object.entries(contracts)) {
    found[name] = { abi, bytecode: evm.bytecode.object, linkReferences: evm.bytecode.linkReferences };
  }
}
console.log(JSON.stringify(found));
