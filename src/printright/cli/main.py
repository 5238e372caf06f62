"""The command line: `printright NOUN VERB`. One module for each noun, imported only when it is used."""

from __future__ import annotations

import importlib
import sys

import click

from printright import __version__

NOUNS = {
    "ledger": "Serve the embedded ledger, deploy the contract, look at the ledger.",
    "member": "Create, admit and suspend members.",
    "unit": "Create, enroll, attest and run the agent of a machine.",
    "key": "Make keys in hardware tokens, and look at them.",
    "design": "Encrypt and publish designs.",
    "license": "Grant, revoke, assign and check licenses.",
    "job": "Print licensed copies on a unit, from its operator's side.",
    "queue": "Print N of these, on whichever of the shop's machines they fit.",
    "part": "Labels and checks of the parts made.",
    "custodian": "Keep a share of design keys and release it by the ledger's word.",
    "store": "Serve a store of encrypted packages.",
    "audit": "Replay the whole ledger and check every invariant.",
    "demo": "The whole story on this machine: publish, license, print, check, and what is refused.",
}


class LazyGroup(click.Group):
    """Imports `printright.cli.<noun>` when the noun is asked for: a command line should answer at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(NOUNS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in NOUNS:
            return None
        command = importlib.import_module(f"printright.cli.{cmd_name}").app
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Nouns"):
            formatter.write_dl(list(NOUNS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="printright")
def cli() -> None:
    """The right to print: licensed, encrypted, provable manufacturing over a shared ledger.

    \b
    Every command takes --home (or PRINTRIGHT_HOME), the folder of one participant, and --json.
    Exit codes: 0 done, 1 failed, 2 misuse, 3 refused by a rule, 4 could not check, 5 not mine.
    Shell completion: eval "$(_PRINTRIGHT_COMPLETE=bash_source printright)"  (or zsh_source, fish_source)
    """


def main() -> None:
    """Entry point of the `printright` program."""
    sys.exit(cli(prog_name="printright"))
