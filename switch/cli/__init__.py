"""The ``switch`` command: one entry point for operators, certification engineers and auditors."""

from switch.cli.main import main

__all__ = ["main"]
