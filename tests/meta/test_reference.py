"""The generated pages are what the code says, and nothing that a user can type or set is left out."""

from __future__ import annotations

import copy
import importlib.util
import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest
from click.testing import CliRunner

from printright.cli.main import NOUNS, cli
from printright.ledger.contracts import contract

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
REGENERATE = "run `make docs` (python docs/generate.py) and commit what it writes"


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


generate = load_generator()
COMMANDS = dict(generate.commands(cli))
HAND_WRITTEN = sorted(
    [*(path for path in DOCS.rglob("*.md") if str(path.relative_to(DOCS)) not in generate.PAGES), *ROOT.glob("*.md")]
)


@pytest.mark.parametrize("page", generate.PAGES)
def test_page_is_what_the_code_says(page: str) -> None:
    path = DOCS / page
    assert path.exists(), REGENERATE
    assert path.read_text() == generate.PAGES[page](), f"{page} is stale: {REGENERATE}"


@pytest.mark.parametrize("name", COMMANDS)
def test_command_is_documented_and_helps(name: str) -> None:
    """Every command says what it does, has --home and --json, and its --help ends well."""
    command = COMMANDS[name]
    assert command.help, f"{name} has no docstring"
    assert f"### {name}\n" in (DOCS / "reference" / "cli.md").read_text(), REGENERATE
    helped = CliRunner().invoke(cli, [*name.split()[1:], "--help"], prog_name="printright")
    assert helped.exit_code == 0, helped.output
    assert {"--home", "--json"} <= set(helped.output.split())


def test_every_noun_is_a_module_and_the_other_way_round() -> None:
    modules = {
        path.stem
        for path in (ROOT / "src" / "printright" / "cli").glob("*.py")
        if any(line.startswith(("app = ", "app: ")) for line in path.read_text().splitlines())
    }
    assert modules == set(NOUNS)
    assert CliRunner().invoke(cli, ["--help"]).exit_code == 0


def test_every_setting_is_described() -> None:
    page = (DOCS / "reference" / "settings.md").read_text()
    for table, struct in generate.settings_tables():
        assert struct.__doc__, f"[{table}] has no docstring"
        for name, _, _, description in generate.settings_rows(struct):
            assert description, f"[{table}] {name} has no description in cli/home.py"
            assert f"`{name}`" in page or f"[{name}]" in page, REGENERATE


def test_every_function_and_event_of_the_abi_is_on_the_page() -> None:
    page = (DOCS / "reference" / "contract.md").read_text()
    for entry in contract().abi:
        if entry["type"] == "function":
            assert f"\n### {entry['name']}\n" in page or f"`{entry['name']}() ->" in page, entry["name"]
        elif entry["type"] == "event":
            assert f"| `{entry['name']}` |" in page, entry["name"]


def test_every_reason_is_reachable_from_a_function() -> None:
    """A reason that no function of the page refuses with would be an error class that nobody can meet."""
    page, reasons = (DOCS / "reference" / "contract.md").read_text().split("\n## Reasons\n")
    listed = [line.split("`")[1] for line in reasons.splitlines() if line.startswith("| `")]
    named = {part for line in page.splitlines() if line.startswith("Refuses with ") for part in line.split("`")[1::2]}
    # Said by the constructor only, which is no function of the page.
    assert set(listed) - named == {"registry: zero registrar", "ledger: out of gas"}
    assert named <= set(listed)


def shown_commands() -> Iterator[tuple[Path, str]]:
    """Every `printright ...` line of the bash blocks on hand-written pages."""
    for path in HAND_WRITTEN:
        inside = False
        for line in path.read_text().replace("\\\n", " ").splitlines():
            if line.startswith("```"):
                inside = line.startswith("```bash")
            elif inside and line.strip().startswith("printright "):
                yield path, line.strip()


def without_files(command: click.Command) -> click.Command:
    """The command for a page's story, whose files are not here."""
    made = copy.copy(command)
    made.params = [copy.copy(param) for param in command.params]
    for param in made.params:
        if isinstance(param.type, click.Path):
            param.type = click.Path()
    return made


def test_shown_commands_exist_with_their_options() -> None:
    """The tutorial is run as written; commands on other pages need hosts that we do not have, so they are parsed."""
    shown = list(shown_commands())
    assert len(shown) > 40
    for path, line in shown:
        words = [word for word in shlex.split(line, comments=True) if word != "&"]
        size = next((n for n in (4, 3, 2) if " ".join(words[:n]) in COMMANDS), 0)
        assert size, f"{path.name}: no such command: {line}"
        command, rest = COMMANDS[" ".join(words[:size])], words[size:]
        try:
            without_files(command).make_context(line, rest)
        except click.ClickException as error:
            pytest.fail(f"{path.relative_to(ROOT)}: {line}: {error.format_message()}")


def test_measurements_page_takes_the_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (DOCS / "reference" / "measurements.md").read_text()
    assert page.count(generate.BEGIN) == 1
    assert page.count(generate.END) == 1
    row = {"id": "gas.grant", "value": 50108.0, "unit": "gas", "peer": None, "peer_value": None, "ratio": None}
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "results.json").write_text(json.dumps([row | {"target": "<= 52000", "ok": False}]))
    (tmp_path / "docs" / "reference").mkdir(parents=True)
    copy = tmp_path / "docs" / "reference" / "measurements.md"
    copy.write_text(page)
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    monkeypatch.setattr(generate, "DOCS", tmp_path / "docs")
    generate.write_measurements()
    first = copy.read_text()
    assert "| `gas.grant` | 50,108 gas |  |  | &lt;= 52000 | **no** |" in first
    assert first.split(generate.BEGIN)[0] == page.split(generate.BEGIN)[0]
    generate.write_measurements()
    assert copy.read_text() == first
