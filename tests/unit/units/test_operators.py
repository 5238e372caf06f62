"""The file of operators: whole, private, without a token in it, and read again when it changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from printright.errors import BadSettings, BadValue, Misuse
from printright.units.operators import Operator, Operators, Permission

VIEW = frozenset({Permission.VIEW})


def test_a_token_opens_and_is_not_in_the_file(tmp_path: Path) -> None:
    operators = Operators(tmp_path / "operators.toml")
    first = operators.add("anna", VIEW, uid=None, with_token=True)
    second = operators.add("bert", frozenset({Permission.PRINT, Permission.VIEW}), uid=77_777, with_token=True)
    assert first
    assert second
    text = (tmp_path / "operators.toml").read_text()
    assert first not in text
    assert (tmp_path / "operators.toml").stat().st_mode & 0o077 == 0
    again = Operators(tmp_path / "operators.toml")
    assert again.by_token(first) == Operator("anna", VIEW, None, again.all()[0].token_sha256)
    assert again.by_token(second) == again.by_uid(77_777)
    assert again.by_token(first[:-1]) is None
    assert again.by_token("") is None
    assert again.by_uid(77_778) is None
    operators.remove("anna")
    assert again.by_token(first) is None
    assert again.by_token(second) is not None


def test_names_and_uids_are_one_operators(tmp_path: Path) -> None:
    operators = Operators(tmp_path / "operators.toml")
    operators.add("anna", VIEW, uid=77_777, with_token=False)
    with pytest.raises(Misuse, match="there is an operator anna"):
        operators.add("anna", VIEW, uid=None, with_token=True)
    with pytest.raises(Misuse, match="another operator's"):
        operators.add("bert", VIEW, uid=77_777, with_token=True)
    with pytest.raises(Misuse, match="no operator 'carl'"):
        operators.remove("carl")
    for name in ("", "octoprint/anna", "a b", "x" * 33, "-x", "ä"):
        with pytest.raises(BadValue, match="not an operator's name"):
            operators.add(name, VIEW, uid=None, with_token=True)
    with pytest.raises(BadValue, match="may do nothing"):
        operators.add("dora", frozenset(), uid=None, with_token=True)
    assert [each.name for each in operators.all()] == ["anna"]


@pytest.mark.parametrize(
    "text",
    [
        "[anna]\npermissions = ['all']\n",
        "[anna]\npermissions = []\n",
        "[anna]\npermissions = ['view']\ntoken = 'x'\n",
        "[anna]\npermissions = ['view']\ntoken_sha256 = 'xx'\n",
        "[anna]\npermissions = ['view']\ntoken_sha256 = 'abcd'\n",
        "[anna]\npermissions = ['view']\nuid = 7\n[bert]\npermissions = ['view']\nuid = 7\n",
        "[anna\n",
        "anna = 1\n",
    ],
)
def test_a_file_that_is_not_whole_lets_nobody_in(tmp_path: Path, text: str) -> None:
    operators = Operators(tmp_path / "operators.toml")
    token = operators.add("bert", VIEW, uid=None, with_token=True)
    assert token
    (tmp_path / "operators.toml").write_text(text)
    for _ in range(2):
        with pytest.raises(BadSettings):
            operators.by_token(token)


def test_a_file_that_others_may_write_lets_nobody_in(tmp_path: Path) -> None:
    operators = Operators(tmp_path / "operators.toml")
    token = operators.add("bert", VIEW, uid=None, with_token=True)
    (tmp_path / "operators.toml").chmod(0o620)
    with pytest.raises(BadSettings, match="others may write"):
        operators.by_token(str(token))
