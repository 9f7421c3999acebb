"""What a table can't say about these messages; see ``switch/wire/hook.py`` for what a hook is.

Track 2 is packed as half bytes. The separator "=" has none, so that it travels as the half byte D; nothing behind this
file needs to know.
"""

_TRACK2 = "35"


def after_decode(fields: dict[str, str]) -> dict[str, str]:
    """A "D" in track 2 is its separator."""
    track2 = fields.get(_TRACK2)
    if track2:
        fields[_TRACK2] = track2.replace("D", "=", 1)
    return fields


def before_encode(fields: dict[str, str]) -> dict[str, str]:
    """And back."""
    track2 = fields.get(_TRACK2)
    if track2:
        fields[_TRACK2] = track2.replace("=", "D", 1)
    return fields
