"""What the ledger's main calls cost, on Anvil, beside ordinary tokens in the same run, and after 100,000 records.

Gas is exact: the same figures come from every machine, and `tests/contracts/gas_snapshot.json` holds all of them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from eth_abi import encode
from eth_utils import keccak

from bench.figure import Figure, figure

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "contracts"), str(ROOT / "tests")]

from tests.contracts.accounts import Account  # noqa: E402
from tests.contracts.chain import AnvilChain, created_by  # noqa: E402
from tests.contracts.gas_story import Meter, fill, tell  # noqa: E402
from tests.contracts.scene import Scene, settle  # noqa: E402

from programs import CACHE, program  # noqa: E402

RECORDS = 100_000
SOLADY = "Solady"


def peers(anvil: AnvilChain) -> dict[str, int]:
    """Gas of the same acts with ERC-1155 copies and ERC-721 parts, in their steady state (no first balance)."""
    modules = CACHE / "npm" / "node_modules"
    script = Path(__file__).with_name("peers") / "compile.cjs"
    compiled = subprocess.run(
        ["node", str(script), str(modules)], check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    code = {name: bytes.fromhex(text) for name, text in json.loads(compiled.stdout).items()}
    holder = Account("holder of tokens").address
    at = {}
    for name in ("Copies", "Parts"):
        deployer = Account(f"deployer of {name}").address
        anvil.transact(deployer, None, code[name])
        at[name] = created_by(deployer)

    def gas(contract: str, signature: str, *args: int | bytes) -> int:
        types = signature[signature.index("(") + 1 : -1].split(",")
        outcome = anvil.transact(holder, at[contract], keccak(text=signature)[:4] + encode(types, args))
        assert outcome.reason is None, (signature, outcome)
        assert outcome.gas is not None
        anvil.now += 1
        return outcome.gas

    issue = gas("Copies", "issue(address,uint256,uint256)", holder, 7, 1_000)
    gas("Parts", "make(address,uint256)", holder, 1)
    return {
        "grant": issue,
        "spend": gas("Copies", "spend(uint256,uint256)", 7, 1),
        "spend 100": gas("Copies", "spend(uint256,uint256)", 7, 100),
        "make": gas("Parts", "make(address,uint256)", holder, 2),
        "make 100": gas("Parts", "makeMany(address,uint256,uint256)", holder, 1_000, 100),
    }


def figures() -> list[Figure]:
    """Needs Anvil and the node packages that `tests/programs.py` installs."""
    anvil_program = program("anvil")
    assert anvil_program is not None, "run `python tests/programs.py` first"
    with AnvilChain(anvil_program) as anvil:
        tokens = peers(anvil)
        scene = settle(Scene(anvil))
        tell(scene)
        # Two chapters whose texts differ only in one letter: what differs between them is what the records cost.
        before = tell(scene, " before")
        fill(anvil, RECORDS)
        after = tell(scene, " beyond")
    change = max(abs(after.execution[line] - gas) for line, gas in before.execution.items())

    def worst(*lines: str) -> int:
        return max(meter.gas[line] for meter in (before, after) for line in lines)

    def both(meter: Meter, quantity: int) -> int:
        return meter.gas[f"start_job (next, {quantity})"] + meter.gas[f"finish_job (next, {quantity})"]

    def printed(quantity: int) -> int:
        return max(both(before, quantity), both(after, quantity))

    def against(id: str, value: float, target: str, peer: str, peer_value: float) -> Figure:
        return figure(
            id, value, "gas", target, peer=f"{SOLADY}: {peer}", peer_value=peer_value, ratio=value / peer_value
        )

    one = max(printed(1), printed(100))
    hundred_tokens = tokens["spend 100"] + tokens["make 100"]
    granted = worst(*(line for line in before.gas if line.startswith("grant (")))
    return [
        against("gas.grant", granted, "<= 52000", "mint copies of one ERC-1155 id", tokens["grant"]),
        against(
            "gas.start_job",
            worst("start_job (next, 1)", "start_job (next, 100)"),
            "<= 42000",
            "burn one ERC-1155 copy",
            tokens["spend"],
        ),
        against(
            "gas.finish_job",
            worst("finish_job (next, 1)", "finish_job (next, 100)"),
            "<= 56000",
            "mint one ERC-721 part",
            tokens["make"],
        ),
        against(
            "gas.licensed_print", one, "<= 98000", "burn one copy, mint one part", tokens["spend"] + tokens["make"]
        ),
        against("gas.licensed_print_of_100", printed(100), "<= 98000", "burn 100, mint 100 at once", hundred_tokens),
        figure("gas.grant_100", worst("grant_many (100)") / 100, "gas each", "<= 30000"),
        figure("gas.change_after_100k_records", change, "gas", "<= 0"),
    ]
