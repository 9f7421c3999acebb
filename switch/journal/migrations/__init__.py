"""Plain SQL files, applied in the order of their numbers by ``switch migrate``.

A file that was applied never changes.
"""
