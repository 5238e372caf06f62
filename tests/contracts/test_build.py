"""The build: reproducible, small enough, documented, and the same behavior at every level of optimization."""

from __future__ import annotations

import re

import pytest
from build import compile_deployables
from eth_abi import encode
from tests.contracts import source
from tests.contracts.accounts import ZERO
from tests.contracts.chain import ADDRESS, FOLDER, BoaChain, abi, artifact, reason_of
from tests.contracts.life import born
from tests.contracts.scene import Scene
from tests.contracts.test_life import lived
from vyper.compiler.settings import OptimizationLevel

LIMIT = 24_576  # EIP-170


def test_two_builds_give_the_same_bytes() -> None:
    again = compile_deployables(FOLDER)["printright"]
    assert again == artifact()


def test_the_contract_fits_into_one_account() -> None:
    assert len(bytes.fromhex(artifact()["bytecode_runtime"][2:])) <= LIMIT


def test_the_deployed_code_is_the_one_that_was_built() -> None:
    chain = BoaChain()
    assert chain.env.evm.vm.state.get_code(ADDRESS).hex() == artifact()["bytecode_runtime"][2:]


def test_the_contract_cannot_be_deployed_without_a_registrar() -> None:
    chain = BoaChain()
    code = bytes.fromhex(artifact()["bytecode"][2:]) + encode(["address"], [ZERO])
    _, computation = chain.env.deploy(sender=chain.at, bytecode=code)
    assert computation.is_error
    assert reason_of(computation.output) == "registry: zero registrar"


@pytest.mark.parametrize("level", [OptimizationLevel.NONE, OptimizationLevel.CODESIZE], ids=lambda x: x.name)
def test_every_level_of_optimization_behaves_alike(level: OptimizationLevel) -> None:
    # A difference here is a fault of the compiler's optimizer, or of code that leans on what is undefined.
    life = lived(born(Scene(BoaChain())), 1_500)
    slots = life.scene.chain.storage()
    chain = BoaChain(level)
    assert artifact(level)["bytecode"] != artifact()["bytecode"]
    scene = Scene(chain)
    for sent in life.scene.log:
        chain.set_time(sent.time_s)
        assert scene.send_raw(sent.sender, sent.data).__dict__ == sent.outcome.__dict__
    assert scene.events == life.scene.events
    assert chain.storage() == slots


@pytest.mark.parametrize("path", sorted(FOLDER.glob("**/*.vy*")), ids=lambda p: p.name)
def test_every_file_names_its_compiler_and_forbids_reentrance(path: object) -> None:
    first, second = (FOLDER / str(path)).read_text().splitlines()[:2]
    assert first == "# pragma version 0.4.3"
    assert second == "# pragma nonreentrancy on"


EXTERNAL = [f for f in source.functions().values() if f.external]


@pytest.mark.parametrize("function", EXTERNAL, ids=lambda f: f"{f.module}.{f.name}")
def test_every_external_function_says_what_it_is_for(function: source.Function) -> None:
    doc = function.docstring
    if abi().functions[function.name]["outputs"] and "@notice" not in doc:
        assert re.search(r"@return \S", doc)
    else:
        assert re.search(r"@notice \S", doc)
    # A parameter that is named in the docs must be one of the function.
    names = {i["name"] for i in abi().functions[function.name]["inputs"]}
    assert set(re.findall(r"@param (\w+)", doc)) <= names


def test_every_external_function_of_the_modules_is_deployed() -> None:
    constants = {"RIGHTS_HOLDER", "MAKER", "BUILDER", "CUSTODIAN", "registrar", "proposed_registrar"}
    assert {f.name for f in EXTERNAL} | constants == set(abi().functions)


def test_every_module_has_its_title() -> None:
    for name in (*source.MODULES, "printright"):
        text = (FOLDER / f"{name}.vy").read_text()
        assert f"@title {name}\n@license Apache-2.0\n@notice " in text
