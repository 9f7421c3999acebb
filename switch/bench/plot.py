"""Throughput against latency as an SVG: one polyline for the switch's windows, one for pgbench's clients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from switch.bench.report import SpeedReport

__all__ = ["plot"]

_WIDTH, _HEIGHT = 860, 520
_LEFT, _RIGHT, _TOP, _BOTTOM = 80, 200, 50, 60


class _Series(NamedTuple):
    name: str
    colour: str
    points: list[tuple[float, float, str]]  # per second, ms, label


def plot(report: SpeedReport) -> str:
    """x: authorizations a second. y: latency in milliseconds, logarithmic; the medians, and the switch's p99."""
    series = [
        _Series("switch, median", "#0b6", [(o.per_second, o.latency_ms["p50"], f"{o.window}") for o in report.windows]),
        _Series("switch, p99", "#6c9", [(o.per_second, o.latency_ms["p99"], f"{o.window}") for o in report.windows]),
        _Series(
            "pgbench, median", "#c33", [(o.per_second, o.latency_ms["p50"], f"{o.clients}") for o in report.pgbench]
        ),
        _Series("open loop, p99", "#36c", [(o.per_second, o.latency_ms["p99"], o.name) for o in report.open_loop]),
    ]
    return "\n".join(_document(series, "Throughput and latency; numbers are messages in flight, or clients"))


def _document(series: Sequence[_Series], title: str) -> list[str]:
    right = max(x for one in series for x, _, _ in one.points) * 1.05
    values = [y for one in series for _, y, _ in one.points]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    high += high == low

    def at_x(value: float) -> float:
        return round(_LEFT + value / right * (_WIDTH - _LEFT - _RIGHT), 1)

    def at_y(value: float) -> float:
        share = (math.log10(value) - low) / (high - low)
        return round(_HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM), 1)

    lines = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
            ' font-family="sans-serif" font-size="12">'
        ),
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        _text(_LEFT, 28, title, size=15),
        _text(_LEFT + (_WIDTH - _LEFT - _RIGHT) / 2, _HEIGHT - 15, "authorizations per second", anchor="middle"),
        _text(12, _TOP - 10, "ms"),
    ]
    for power in range(low, high + 1):
        for value in (10.0**power,) if power == high else (10.0**power, 2 * 10.0**power, 5 * 10.0**power):
            lines.append(_line(_LEFT, at_y(value), _WIDTH - _RIGHT, at_y(value)))
            lines.append(_text(_LEFT - 8, at_y(value) + 4, f"{value:g}", anchor="end"))
    step = _step(right)
    for number in range(int(right / step) + 1):
        lines.append(_line(at_x(number * step), _TOP, at_x(number * step), _HEIGHT - _BOTTOM))
        lines.append(_text(at_x(number * step), _HEIGHT - _BOTTOM + 18, f"{number * step:,.0f}", anchor="middle"))
    for place, one in enumerate(series):
        path = " ".join(f"{at_x(x)},{at_y(y)}" for x, y, _ in one.points)
        lines.append(f'<polyline points="{path}" fill="none" stroke="{one.colour}" stroke-width="2"/>')
        for x, y, label in one.points:
            lines.append(f'<circle cx="{at_x(x)}" cy="{at_y(y)}" r="3.5" fill="{one.colour}"/>')
            lines.append(_text(at_x(x) + 6, at_y(y) - 6, label, colour=one.colour))
        lines.append(_text(_WIDTH - _RIGHT + 20, _TOP + 20 + 22 * place, one.name, colour=one.colour, size=13))
    return [*lines, "</svg>", ""]


def _step(most: float) -> float:
    """A round number that divides the axis into about five."""
    size: float = 10.0 ** math.floor(math.log10(most / 5))
    return next(size * factor for factor in (1, 2, 5, 10) if size * factor >= most / 5)


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="#ddd"/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", colour: str = "#333", size: int = 12) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{colour}" font-size="{size}">{escape(text)}</text>'
