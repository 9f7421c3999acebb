"""Rows in columns, for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import click

__all__ = ["grid", "print_grid"]

_WIDTH_MAX = 60


def grid(rows: Iterable[Sequence[str]]) -> list[str]:
    """One line for each row; a column is as wide as its widest cell, but no wider than 60."""
    rows = list(rows)
    columns = max((len(row) for row in rows), default=0)
    widths = [min(max((len(row[at]) for row in rows if at < len(row)), default=0), _WIDTH_MAX) for at in range(columns)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip() for row in rows]


def print_grid(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """``rows`` below their columns' names."""
    names, *lines = grid([columns, *rows])
    click.secho(names, dim=True)
    for line in lines:
        click.echo(line)
