"""The one way our contracts are compiled: Vyper 0.4.3, legacy code generation, optimized for gas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vyper.cli.vyper_compile import compile_files
from vyper.compiler.settings import OptimizationLevel, Settings

EVM_VERSION = "cancun"
DEPLOYABLES = ("printright",)


def compile_deployables(folder: Path, optimize: OptimizationLevel = OptimizationLevel.GAS) -> dict[str, dict[str, Any]]:
    """Compile every deployable in `folder`; the result maps its name to ABI, bytecode and layout."""
    settings = Settings(evm_version=EVM_VERSION, optimize=optimize, experimental_codegen=False)
    formats = ["abi", "bytecode", "bytecode_runtime", "method_identifiers", "layout", "userdoc"]
    artifacts = {}
    for name in DEPLOYABLES:
        (output,) = compile_files([folder / f"{name}.vy"], formats, paths=[str(folder)], settings=settings).values()
        artifacts[name] = {
            "contract": name,
            "compiler": "vyper 0.4.3",
            "evm_version": EVM_VERSION,
            "abi": output["abi"],
            "bytecode": output["bytecode"],
            "bytecode_runtime": output["bytecode_runtime"],
            "selectors": output["method_identifiers"],
            "layout": output["layout"],
        }
    return artifacts
