"""A described message on a terminal."""

from __future__ import annotations

from collections.abc import Iterator

import click

from switch.cli.grid import grid
from switch.wire.description import Line
from switch.wire.guess import Guess

__all__ = ["print_described"]


def print_described(found: Guess, *, guessed: bool) -> None:
    """The message, what the switch takes it for, and how the dialect was found."""
    reading, it = found.reading, found.reading.description
    click.secho(f"{it.mti or '????'}  {it.meaning or 'no message type'}", bold=True)
    framing = f"behind a length ({reading.framing})" if reading.framing else "no length in front"
    odd = f" ({reading.odd})" if reading.odd else ""
    click.echo(f"{it.dialect}, {it.message_bytes} bytes, {reading.form}, {framing}{odd}")
    click.echo()
    for line in grid(
        [("byte", "field", "name", "value", "meaning"), *(row for each in it.lines for row in _rows(each))]
    ):
        click.echo(line)
    if it.withheld:
        click.echo(f"\nvalues are not shown: {it.withheld}")
    if it.read_as:
        click.echo("\nthe switch reads")
        for line in grid([("", name, text) for name, text in it.read_as.items()]):
            click.echo(line)
    if it.problem is not None:
        click.secho(f"\nnot taken: {it.problem}", fg="red")
        click.echo(f"it gets {'a format error for an answer' if it.problem.answered else 'no answer'}")
    if guessed:
        click.echo(f"\n{it.dialect} was chosen: {found.why}. --dialect chooses another.")
        for line in grid([("", other.dialect, other.says) for other in found.others]):
            click.echo(line)


def _rows(line: Line, depth: int = 0) -> Iterator[tuple[str, str, str, str, str]]:
    place = "" if line.offset is None else str(line.offset)
    yield place.rjust(4), line.key, "  " * depth + line.name, line.value, line.meaning
    for part in line.parts:
        yield from _rows(part, depth + 1)
