"""Network file, finality policies, refusals, events and the contract's packing."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import eth_abi
import pytest
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from printright.errors import BadSettings, BadValue, LedgerUnavailable, Misuse
from printright.ledger import contracts, refusals
from printright.ledger.events import EVENTS, Event, RawLog, decode, event_specs
from printright.ledger.finality import ISTANBUL_DIGEST, BftSeal, Depth, FinalizedTag, Head, SingleNode, finality_of
from printright.ledger.network import Network
from printright.ledger.rpc import RpcError

ROOT = Path(__file__).parents[3]
ADDRESS = "0x5b8E270b5B683e3cdD67596A95eAe41EafEdBc04"
NETWORK = Network("site", 31337, ("http://127.0.0.1:8545",), ADDRESS, 7, "0x" + "ab" * 32, "single-node")  # type: ignore[arg-type]


def test_the_package_is_light() -> None:
    code = (
        "import sys, printright.ledger; print(*[m for m in ('web3', 'aiohttp', 'sqlite3', 'eth') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


# --- network file


@given(name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip))
def test_a_network_file_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    network = Network(name, 1, ("http://a:1", "https://b"), ADDRESS, 0, "0x" + "00" * 32, "depth:12")  # type: ignore[arg-type]
    path = tmp_path_factory.mktemp("network") / "network.toml"
    path.write_text(network.dump(), encoding="utf-8")
    assert Network.load(path) == network


@pytest.mark.parametrize(
    ("line", "instead"),
    [
        ("name", ""),
        ("name", 'name = " "'),
        ("chain_id", "chain_id = 0"),
        ("chain_id", "chain_id = true"),
        ("chain_id", 'chain_id = "1"'),
        ("rpc_urls", "rpc_urls = []"),
        ("rpc_urls", 'rpc_urls = "http://a"'),
        ("rpc_urls", 'rpc_urls = ["file:///etc/passwd"]'),
        ("rpc_urls", "rpc_urls = [1]"),
        ("contract", 'contract = "0x12"'),
        ("contract", f'contract = "{ADDRESS.replace("b8E", "b8e")}"'),
        ("deployed_block", "deployed_block = -1"),
        ("code_hash", 'code_hash = "0x12"'),
        ("code_hash", "code_hash = 3"),
        ("finality", 'finality = ""'),
        ("finality", 'finality = "instant"'),
        ("finality", ""),
        ("finality", "finality = 12"),
        ("finality", 'finality = "single-node"\nextra = 1'),
        ("finality", "finality = "),
    ],
)
def test_a_network_that_is_not_understood_is_not_used(tmp_path: Path, line: str, instead: str) -> None:
    path = tmp_path / "network.toml"
    path.write_text(re.sub(rf"^{line} = .*$", instead, NETWORK.dump(), flags=re.MULTILINE))
    with pytest.raises(BadSettings):
        Network.load(path)


def test_a_missing_network_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="cannot read"):
        Network.load(tmp_path / "none")


# --- finality

HEAD = Head(100, bytes(32))


@pytest.mark.parametrize(
    ("name", "policy", "needs", "head", "height"),
    [
        ("single-node", SingleNode(), "latest", HEAD, 100),
        ("finalized-tag", FinalizedTag(), "finalized", HEAD, 100),
        ("finalized-tag", FinalizedTag(), "finalized", None, -1),
        ("depth:12", Depth(12), "latest", HEAD, 88),
        ("depth:101", Depth(101), "latest", HEAD, -1),
        ("depth:500", Depth(500), "latest", HEAD, -1),
        ("bft-seal", BftSeal(), "latest", Head(100, ISTANBUL_DIGEST), 100),
    ],
)
def test_final_height(name: str, policy: object, needs: str, head: Head | None, height: int) -> None:
    found = finality_of(name)
    assert found == policy
    assert found.needs == needs
    assert found.final_height(head) == height


@pytest.mark.parametrize(
    "name", ["", "depth", "depth:", "depth:0", "depth:-1", "depth:1e3", "Single-Node", "latest", None, 12]
)
def test_an_unknown_policy_fails_closed(name: Any) -> None:
    with pytest.raises(BadSettings):
        finality_of(name)


def test_nothing_is_final_where_the_chain_does_not_look_like_its_policy() -> None:
    with pytest.raises(LedgerUnavailable):
        BftSeal().final_height(HEAD)
    for policy in (SingleNode(), Depth(1), BftSeal()):
        with pytest.raises(LedgerUnavailable):
            policy.final_height(None)


# --- refusals


def test_every_reason_of_the_contracts_has_its_error_and_no_other_does() -> None:
    source = "".join(path.read_text() for path in sorted((ROOT / "contracts").glob("**/*.vy")))
    reasons = set(re.findall(r'"((?:registry|designs|licenses|jobs|parts|anchors): [^"]+)"', source))
    known = {reason for reason in refusals.REFUSALS if reason != refusals.OUT_OF_GAS}
    assert known == reasons
    # No assertion is without a reason.
    assert not re.findall(
        r"assert [^,\n]+\n(?!\s*\))", re.sub(r"assert \(.*?\), \"", 'assert x, "', source, flags=re.DOTALL)
    )


def test_every_refusal_says_what_happened_and_what_to_do() -> None:
    for reason, kind in refusals.REFUSALS.items():
        error = refusals.refusal("start_job", reason)
        assert type(error) is kind
        assert error.reason == reason
        assert error.message.startswith("start_job was refused: ")
        assert kind.says
        assert error.hint
        assert error.exit_code == 3


def test_an_unknown_reason_is_kept() -> None:
    error = refusals.refusal("grant", "licenses: from the future")
    assert type(error) is refusals.UnknownReason
    assert error.reason == "licenses: from the future"
    assert "from the future" in str(error)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", ""),
        (b"\x08\xc3\x79\xa0", ""),
        (b"\x08\xc3\x79\xa0" + eth_abi.encode(["string"], ["licenses: expired"]), "licenses: expired"),
        (b"\x08\xc3\x79\xa0" + eth_abi.encode(["bytes"], [b"\xff\xfe"]), ""),
        (bytes.fromhex("4e487b71") + bytes(31) + b"\x11", ""),
    ],
)
def test_reason_of(data: bytes, reason: str) -> None:
    assert refusals.reason_of(data) == reason


@pytest.mark.parametrize(
    ("error", "revert"),
    [
        (RpcError(3, "execution reverted", "0x1234"), b"\x12\x34"),
        (RpcError(-32000, "x", "Reverted 0x1234"), b"\x12\x34"),
        (RpcError(-32015, "x", {"data": "0x1234"}), b"\x12\x34"),
        (RpcError(-32000, "execution reverted: why"), b""),
        (RpcError(-32000, "insufficient funds"), None),
        (RpcError(-32000, "x", "0xzz"), None),
    ],
)
def test_where_nodes_put_a_revert(error: RpcError, revert: bytes | None) -> None:
    assert error.revert() == revert


# --- events


def test_the_events_and_their_classes_are_the_same() -> None:
    common = {field.name for field in fields(Event)}
    assert set(EVENTS) == set(contracts.contract().events) == set(event_specs())
    for name, parameters in contracts.contract().events.items():
        own = [field.name for field in fields(EVENTS[name]) if field.name not in common]
        assert own == [parameter.name for parameter in parameters]
        assert EVENTS[name].name == name


def sample(kind: str, salt: int) -> Any:
    return {
        "uint256": 1000 + salt,
        "bytes32": bytes([salt]) * 32,
        "address": contracts.checksummed(bytes([salt]) * 20),
        "bytes": bytes(range(100 + salt)),
    }[kind]


def log_of(name: str) -> tuple[RawLog, dict[str, Any]]:
    parameters = contracts.contract().events[name]
    values = {p.name: sample(p.type, i + 1) for i, p in enumerate(parameters)}
    topics = [event_specs()[name].topic]
    topics += ["0x" + eth_abi.encode([p.type], [values[p.name]]).hex() for p in parameters if p.indexed]
    plain = [p for p in parameters if not p.indexed]
    data = eth_abi.encode([p.type for p in plain], [values[p.name] for p in plain])
    log = RawLog(ADDRESS, tuple(topics), "0x" + data.hex(), "0x10", "0x" + "22" * 32, "0x" + "33" * 32, "0x2")
    return log, values


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_an_event_is_read_as_the_reference_codec_wrote_it(name: str) -> None:
    log, values = log_of(name)
    event = decode(log)
    assert type(event) is EVENTS[name]
    assert {key: getattr(event, key) for key in values} == values
    assert (event.block_number, event.log_index, event.tx_hash) == (16, 2, b"\x33" * 32)
    assert event.block_hash == b"\x22" * 32


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_a_log_that_is_cut_off_is_not_read(name: str) -> None:
    log, _ = log_of(name)
    short = [RawLog(log.address, log.topics[:-1], log.data, "0x1", "0x", "0x", "0x0")]
    if len(log.data) > 2:
        short += [RawLog(log.address, log.topics, log.data[:cut], "0x1", "0x", "0x", "0x0") for cut in (2, 64, -64)]
    short.append(RawLog(log.address, ("0x" + "00" * 32, *log.topics[1:]), log.data, "0x1", "0x", "0x", "0x0"))
    short.append(RawLog(log.address, (), log.data, "0x1", "0x", "0x", "0x0"))
    for each in short:
        with pytest.raises(LedgerUnavailable):
            decode(each)


# --- packing


def argument(parameter: contracts.Parameter) -> Any:
    if parameter.type.endswith("[]"):
        inner = contracts.Parameter(parameter.name, parameter.type[:-2], False, parameter.fields)
        return [argument(inner), argument(inner)]
    if parameter.fields:
        return tuple(argument(each) for each in parameter.fields)
    return True if parameter.type == "bool" else sample(parameter.type, len(parameter.name))


FUNCTIONS = [
    contracts.contract().function(each["name"]) for each in contracts.contract().abi if each["type"] == "function"
]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
def test_calls_are_packed_like_the_reference_codec_packs_them(function: contracts.Function) -> None:
    args = [argument(each) for each in function.inputs]
    expected = keccak(text=function.signature)[:4] + eth_abi.encode([each.signature for each in function.inputs], args)
    assert function.encode(args) == expected
    with pytest.raises(BadValue):
        function.encode([*args, 1])


@pytest.mark.parametrize(
    "args",
    [
        (bytes(31), 1, 1),
        (bytes(33), 1, 1),
        ("0x" + "00" * 32, 1, 1),
        (bytes(32), -1, 1),
        (bytes(32), 2**256, 1),
        (bytes(32), True, 1),
        (bytes(32), "1", 1),
        (bytes(32), 1.0, 1),
        (bytes(32), None, 1),
    ],
)
def test_arguments_that_do_not_fit_are_misuse(args: tuple[Any, ...]) -> None:
    with pytest.raises(BadValue):
        contracts.contract().function("grant").encode(args)


@pytest.mark.parametrize("value", ["", "0x12", ADDRESS.lower()[:-1] + "g", b"\0" * 20, 5])
def test_a_wrong_address_is_misuse(value: Any) -> None:
    with pytest.raises(BadValue):
        contracts.contract().function("roles").encode([value])


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
def test_results_are_read_as_the_reference_codec_wrote_them(function: contracts.Function) -> None:
    def plain(value: Any) -> Any:
        return tuple(plain(each) for each in value) if isinstance(value, tuple | list) else value

    values = [argument(each) for each in function.outputs]
    types = [out.signature for out in function.outputs]
    data = eth_abi.encode(types, values)
    if function.outputs:
        expected = plain(values[0] if len(values) == 1 else values)
        assert plain(function.decode(data)) == plain(expected)
        for wrong in (data[:-32], data[:-1], b""):
            with pytest.raises(LedgerUnavailable):
                function.decode(wrong)


@pytest.mark.parametrize(("name", "place"), [("counters", 9), ("unit", 0), ("unit", 2)])
def test_a_word_that_its_type_does_not_have_is_refused(name: str, place: int) -> None:
    function = contracts.contract().function(name)
    data = bytearray(eth_abi.encode([out.signature for out in function.outputs], [argument(function.outputs[0])]))
    data[32 * place] = 1
    with pytest.raises(LedgerUnavailable, match="make no sense"):
        function.decode(bytes(data))


def test_results_come_by_name() -> None:
    counters = contracts.contract().function("counters")
    values = [*range(8), True, False]
    result = counters.decode(eth_abi.encode([out.signature for out in counters.outputs], [values]))
    assert list(result) == values
    assert (result.issued, result.ended) == (0, False)
    assert type(result).__name__ == "Counters"
    with pytest.raises(LedgerUnavailable):
        counters.decode(b"")
    with pytest.raises(LedgerUnavailable):
        counters.decode(bytes(64))


def test_a_struct_may_be_a_dataclass() -> None:
    from dataclasses import make_dataclass

    terms = make_dataclass("Terms", ["document", "units", "limits", "content"])(b"d" * 32, b"u" * 32, 9, b"c" * 32)
    function = contracts.contract().function("terms_hash")
    assert function.encode([ADDRESS, terms]) == function.encode([ADDRESS, (b"c" * 32, 9, b"u" * 32, b"d" * 32)])


def test_a_function_that_does_not_exist_is_misuse() -> None:
    with pytest.raises(Misuse):
        contracts.contract().function("mint")


def test_an_installation_without_the_contract_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "artifacts").mkdir()
    monkeypatch.setattr(contracts.resources, "files", lambda package: tmp_path)
    with pytest.raises(BadSettings, match="compiled contract is missing"):
        contracts.contract.__wrapped__()
