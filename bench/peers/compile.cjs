// Compile tokens.sol with the solc package of node; prints {contract: creation bytecode} as JSON.
// node compile.cjs <folder of node_modules>
const fs = require("fs");
const path = require("path");
const modules = process.argv[2];
const solc = require(path.join(modules, "solc"));

const input = {
  language: "Solidity",
  sources: { "tokens.sol": { content: fs.readFileSync(path.join(__dirname, "tokens.sol"), "utf8") } },
  settings: {
    evmVersion: "cancun",
    optimizer: { enabled: true, runs: 1000000 },
    outputSelection: { "*": { "*": ["evm.bytecode.object"] } },
  },
};
const find = (name) => ({ contents: fs.readFileSync(path.join(modules, name), "utf8") });
const output = JSON.parse(solc.compile(JSON.stringify(input), { import: find }));
const errors = (output.errors || []).filter((e) => e.severity === "error");
if (errors.length) {
  console.error(errors.map((e) => e.formattedMessage).join("\n"));
  process.exit(1);
}
const found = output.contracts["tokens.sol"];
console.log(JSON.stringify(Object.fromEntries(Object.entries(found).map(([n, c]) => [n, c.evm.bytecode.object]))));
