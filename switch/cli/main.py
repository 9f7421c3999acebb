"""The command tree."""

from __future__ import annotations

import sys

import click

from simulators.command import acquirer
from switch.cli.account import account
from switch.cli.bench import bench
from switch.cli.card import card
from switch.cli.journal import journal
from switch.cli.run import check_config, dev, migrate_command, serve_command
from switch.contracts.errors import SwitchError

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="issuer-switch", prog_name="switch")
def switch() -> None:
    """The issuer switch: authorises prepaid cards over ISO 8583 and keeps the balance journal.

    \b
    To look around:     switch dev --data ./play        (then, elsewhere: switch acquirer run --help)
    In production:      switch migrate; switch serve    (settings by --config FILE or SWITCH_CONFIG)
    To ask the books:   switch account show, switch journal explain, switch journal verify

    Every command has its own --help. Commands that print figures take --json.
    """  # noqa: D301 -- click wants the control character, not its escape


switch.add_command(dev)
switch.add_command(serve_command)
switch.add_command(migrate_command)
switch.add_command(check_config)
switch.add_command(card)
switch.add_command(account)
switch.add_command(journal)
switch.add_command(acquirer)
switch.add_command(bench)


def main() -> None:
    """Runs the command.

    What the house raises on purpose is one line on stderr and exit code 1, not a traceback.
    """
    try:
        switch(prog_name="switch")
    except SwitchError as exc:
        click.echo(f"switch: {exc}", err=True)
        sys.exit(1)
