"""Compile the Vyper contracts into the package when it is built, so that no user needs a compiler.

The same source, compiler and options give the same bytecode: `tests/contracts` compares two builds.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
sys.path.insert(0, str(ROOT / "contracts"))


class ContractsHook(BuildHookInterface):  # type: ignore[type-arg]
    """Write `src/printright/ledger/artifacts/<contract>.json` with ABI, bytecode and storage layout."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        del version, build_data
        from build import compile_deployables

        out = ROOT / "src" / "printright" / "ledger" / "artifacts"
        out.mkdir(parents=True, exist_ok=True)
        for name, artifact in compile_deployables(ROOT / "contracts").items():
            (out / f"{name}.json").write_text(json.dumps(artifact, indent=1, sort_keys=True) + "\n")
