"""The command tree."""

from __future__ import annotations

import sys
from typing import NoReturn

import click

from simulators.command import acquirer
from simulators.funding_source.command import funding_source
from switch.cli.account import account
from switch.cli.bench import bench
from switch.cli.card import card
from switch.cli.clearing import clearing
from switch.cli.credential import credential
from switch.cli.expire import expire
from switch.cli.funding import funding
from switch.cli.journal import journal
from switch.cli.reconcile import reconcile
from switch.cli.run import check_config, dev, migrate_command, serve_command
from switch.cli.specs import specs
from switch.contracts.errors import SwitchError
from switch.daemon.logs import mask_pans

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="issuer-switch", prog_name="switch")
def switch() -> None:
    """The issuer switch: authorises prepaid cards over ISO 8583 and keeps the balance journal.

    \b
    To look around:     switch dev --data ./play        (then, elsewhere: switch acquirer run --help)
    In production:      switch migrate; switch serve    (settings by --config FILE or SWITCH_CONFIG)
    To ask the books:   switch account show, switch journal explain, switch journal verify
    To read messages:   switch specs describe, switch specs list
    To close a day:     switch reconcile DAY

    Every command has its own --help. Commands that print figures take --json.
    """  # noqa: D301 -- click wants the control character, not its escape


switch.add_command(dev)
switch.add_command(serve_command)
switch.add_command(migrate_command)
switch.add_command(check_config)
switch.add_command(card)
card.add_command(credential)
switch.add_command(account)
switch.add_command(journal)
switch.add_command(clearing)
clearing.add_command(expire)
switch.add_command(funding)
switch.add_command(specs)
switch.add_command(reconcile)
switch.add_command(acquirer)
switch.add_command(funding_source)
switch.add_command(bench)


def main() -> None:
    """Runs the command.

    What the house raises on purpose, and what was typed wrong, is told in a line on stderr, not in a traceback. A card
    number that was put in the wrong place is masked there: an error message ends in logs and tickets.
    """
    try:
        code = switch(prog_name="switch", standalone_mode=False)
    except click.ClickException as exc:
        if isinstance(exc, click.UsageError) and exc.ctx is not None:
            click.echo(exc.ctx.get_usage(), err=True)
        _complain(exc.format_message())
        sys.exit(exc.exit_code)
    except SwitchError as exc:
        _complain(str(exc), exc.plain)
        sys.exit(1)
    except (KeyboardInterrupt, click.Abort):
        _interrupted()
    except BaseExceptionGroup as group:
        if group.split(KeyboardInterrupt)[1] is not None:
            raise
        _interrupted()
    sys.exit(code if isinstance(code, int) else 0)


def _complain(text: str, plain: tuple[str, ...] = ()) -> None:
    click.echo(f"switch: {mask_pans(text, plain)}", err=True)


def _interrupted() -> NoReturn:
    click.echo("switch: interrupted", err=True)
    sys.exit(130)
