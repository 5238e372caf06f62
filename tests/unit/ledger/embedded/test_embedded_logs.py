"""eth_getLogs: the index finds exactly what a scan over all receipts finds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from embedded_scene import CHAIN_ID, Local, Signer, logging_code
from hypothesis import given
from hypothesis import strategies as st

from printright.ledger.embedded import logs
from printright.ledger.embedded.server import Settings, opened
from printright.ledger.embedded.wire import RpcError

WORDS = [bytes([number]) * 32 for number in range(4)]
BLOCKS = 40


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    """40 blocks with 0 to 4 events each, of every number of topics; events of failed transactions are none."""
    folder: Path = tmp_path_factory.mktemp("logs") / "ledger"
    with opened(Settings(folder, CHAIN_ID)) as chain:
        local, signers = Local(chain), [Signer("a"), Signer("b")]
        for number in range(BLOCKS):
            events = [
                (tuple(WORDS[(number * 7 + event * 3 + topic * topic) % 4] for topic in range((number + event) % 5)),
                 bytes([number, event]))
                for event in range(number % 5)
            ]  # fmt: skip
            code = logging_code(events)
            local.send(signers[number % 2].sign(None, code[:-1] + b"\xfe" if number % 11 == 10 else code))
        yield local


def scan(local: Local, wanted: dict[str, Any]) -> list[dict[str, Any]]:
    """What the filter means, without the index."""
    head = int(local("eth_blockNumber"), 16)
    first, last = int(wanted["fromBlock"], 16), int(wanted["toBlock"], 16)
    found = []
    for number in range(first, min(last, head) + 1):
        for receipt in local("eth_getBlockReceipts", hex(number)):
            found += [event for event in receipt["logs"] if matches(event, wanted)]
    return found


def matches(event: dict[str, Any], wanted: dict[str, Any]) -> bool:
    def listed(value: Any) -> list[Any]:
        return value if isinstance(value, list) else [value]

    if wanted["address"] not in (None, []) and event["address"] not in listed(wanted["address"]):
        return False
    if len(wanted["topics"]) > len(event["topics"]):
        return False
    return all(
        each in (None, []) or topic in listed(each)
        for each, topic in zip(wanted["topics"], event["topics"], strict=False)
    )


def one_or_more(values: list[str]) -> st.SearchStrategy[Any]:
    return st.none() | st.sampled_from(values) | st.lists(st.sampled_from(values), max_size=3)


@given(data=st.data())
def test_the_index_finds_what_a_scan_finds(busy: Local, data: st.DataObject) -> None:
    # Red where `logs.find` leaves out any of its conditions.
    addresses = [event["address"] for event in busy("eth_getLogs", {"fromBlock": "0x0"})]
    first = data.draw(st.integers(0, BLOCKS))
    wanted = {
        "fromBlock": hex(first),
        "toBlock": hex(data.draw(st.integers(first, BLOCKS + 5))),
        "address": data.draw(one_or_more([*addresses, "0x" + "77" * 20])),
        "topics": data.draw(st.lists(one_or_more(["0x" + word.hex() for word in WORDS]), max_size=4)),
    }
    assert busy("eth_getLogs", wanted) == scan(busy, wanted)


def test_the_scan_itself_finds_something(busy: Local) -> None:
    everything = scan(busy, {"fromBlock": "0x0", "toBlock": "0x28", "address": None, "topics": []})
    assert len(everything) == sum(number % 5 for number in range(BLOCKS) if number % 11 != 10)
    assert {len(event["topics"]) for event in everything} == {0, 1, 2, 3, 4}


def test_one_block_by_its_hash(busy: Local) -> None:
    block = busy("eth_getBlockByNumber", "0x5", False)
    found = busy("eth_getLogs", {"blockHash": block["hash"]})
    assert found == busy("eth_getLogs", {"fromBlock": "0x5", "toBlock": "0x5"})
    assert {event["blockHash"] for event in found} == {block["hash"]}
    with pytest.raises(RpcError, match="unknown block"):
        busy("eth_getLogs", {"blockHash": "0x" + "11" * 32})


@pytest.mark.parametrize(
    ("wanted", "what"),
    [
        ({"fromBlock": "0x2", "toBlock": "0x1"}, "invalid block range"),
        ({"fromBlock": "0x2", "blockHash": "0x" + "11" * 32}, "cannot specify both"),
        ({"topics": [None] * 5}, "at most 4"),
        ({"topics": ["0x12"]}, "1 bytes, not 32"),
        ({"address": ["0x12"]}, "1 bytes, not 20"),
        ({"address": ["0x" + "11" * 20] * 1_001}, "at most 1000"),
        ({"fromBlock": "soon"}, "not a quantity"),
        ({"from": "0x1"}, "unknown field from"),
    ],
)
def test_a_malformed_filter_is_refused(busy: Local, wanted: object, what: str) -> None:
    with pytest.raises(RpcError, match=what) as refused:
        busy("eth_getLogs", wanted)
    assert refused.value.code == -32602


def test_too_much_is_refused_with_a_way_out(busy: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_LOGS", 10)
    with pytest.raises(RpcError, match="more than 10 results; the first 10 end in block 5") as refused:
        busy("eth_getLogs", {"fromBlock": "0x0"})
    assert refused.value.code == -32005
    assert len(busy("eth_getLogs", {"fromBlock": "0x0", "toBlock": "0x5"})) == 10
    monkeypatch.setattr(logs, "MAX_BLOCKS", 20)
    with pytest.raises(RpcError, match="at most 20 are searched"):
        busy("eth_getLogs", {"fromBlock": "0x0"})


def test_a_topic_is_found_by_its_index(busy: Local) -> None:
    # 10,000 blocks are quick because SQLite does not read them: it must say so itself.
    statements: list[str] = []
    connection = busy.chain.database.connection
    connection.set_trace_callback(statements.append)
    try:
        busy("eth_getLogs", {"fromBlock": "0x0", "topics": [None, "0x" + WORDS[1].hex()]})
    finally:
        connection.set_trace_callback(None)
    (statement,) = (each for each in statements if each.startswith("SELECT log.block"))
    plan = " ".join(row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + statement))
    assert "SEARCH log USING INDEX log_topic1 (topic1=? AND block>? AND block<?)" in plan
