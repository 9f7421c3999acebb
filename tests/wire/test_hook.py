"""A dialect's own code: where it is called, and what comes of one that is broken."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from switch.contracts.errors import ConfigurationError
from switch.contracts.message import Answer
from switch.contracts.reason import Reason
from switch.wire.codec import Codec
from switch.wire.dialect import load_dialect, specs_root
from switch.wire.errors import DecodeFailure, EncodeFailure
from switch.wire.inbound import ManagementFunction
from switch.wire.layout import LEARN_AFTER
from tests.wire.support import PAN, RECEIVED, extended, purchase

#: Both ways: what the network calls TERM01 is till 01 here, and the network's own messages say so.
TILLS = """
def after_decode(fields):
    if "41" in fields:
        fields["41"] = fields["41"].replace("TERM", "TILL")
    return fields

def before_encode(fields):
    if "41" in fields:
        fields["41"] = fields["41"].replace("TILL", "TERM")
    return fields
"""


def folder(tmp_path: Path, hook: str | None, extra: str = "") -> Path:
    shutil.copytree(specs_root() / "iso87_ascii", tmp_path / "iso87_ascii")
    ours = tmp_path / "ours"
    ours.mkdir()
    named = "" if hook is None else 'hook = "hook.py"\n'
    (ours / "dialect.toml").write_text(f'extends = "iso87_ascii"\n{named}{extra}')
    if hook is not None:
        (ours / "hook.py").write_text(hook)
    return ours


def codec(tmp_path: Path, hook: str) -> Codec:
    return Codec(load_dialect(folder(tmp_path, hook)))


def test_it_is_called_both_ways(tmp_path: Path) -> None:
    plain = Codec(load_dialect(specs_root() / "iso87_ascii"))
    hooked = codec(tmp_path, TILLS)
    for _ in range(LEARN_AFTER + 2):  # by the library and by learnt layouts
        payload = plain.encode(purchase())
        found = hooked.decode(payload, network="alpha", received_at=RECEIVED)
        assert found.fields["41"] == "TILL01  "
        assert found.request is not None and found.request.terminal_id == "TILL01"
        assert plain.decode_fields(hooked.encode(found.fields))["41"] == "TERM01  "
        answer = hooked.encode_answer(found, Answer(reason=Reason.APPROVED))
        assert plain.decode_fields(answer)["41"] == "TERM01  "


def test_the_caller_s_fields_stay_as_they_are(tmp_path: Path) -> None:
    hooked = codec(tmp_path, TILLS)
    fields = purchase(f41="TILL01  ")
    hooked.encode(fields)
    assert fields["41"] == "TILL01  "


def test_one_function_is_enough(tmp_path: Path) -> None:
    hooked = codec(tmp_path, "def after_decode(fields):\n    return {**fields, '41': 'OTHER   '}\n")
    payload = hooked.encode(purchase())
    assert b"TERM01  " in payload
    assert hooked.decode_fields(payload)["41"] == "OTHER   "


def test_the_hook_of_an_extended_dialect_is_the_one_beside_it(tmp_path: Path) -> None:
    folder(tmp_path, TILLS)
    for name, text in (("theirs", 'extends = "ours"\n'), ("none", 'extends = "ours"\nhook = ""\n')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "dialect.toml").write_text(text)
    payload = Codec(load_dialect(tmp_path / "theirs")).encode(purchase(f41="TILL01  "))
    assert b"TERM01  " in payload
    assert load_dialect(tmp_path / "none").hook is None


# ── a hook that stumbles


BROKEN = {
    "raises": "    raise KeyError(fields.get('2', ''))",
    "returns nothing": "    fields.clear()",
    "returns something else": "    return list(fields)",
    "loses the message type": "    fields.pop('t')\n    return fields",
    "returns a number": "    return {**fields, '11': 123}",
    "returns a key that is none": "    return {**fields, 11: '000123'}",
    "recurses": "    return after_decode(fields)",
}


@pytest.mark.parametrize("how", BROKEN)
def test_what_after_decode_does_wrong_is_a_format_error(tmp_path: Path, how: str) -> None:
    hooked = codec(tmp_path, f"def after_decode(fields):\n{BROKEN[how]}\n")
    with pytest.raises(DecodeFailure) as caught:
        hooked.decode(hooked.encode(purchase()), network="alpha", received_at=RECEIVED)
    error = caught.value
    assert error.field == "hook"
    assert PAN not in str(error) and error.__context__ is None
    assert error.answer is not None
    plain = Codec(load_dialect(specs_root() / "iso87_ascii"))
    answer = plain.decode_fields(error.answer)
    assert (answer["t"], answer["39"], answer["11"]) == ("0110", "30", "000123")


@pytest.mark.parametrize("how", [how for how in BROKEN if how != "recurses"])
def test_what_before_encode_does_wrong_is_an_encode_failure(tmp_path: Path, how: str) -> None:
    hooked = codec(tmp_path, f"def before_encode(fields):\n{BROKEN[how]}\n")
    with pytest.raises(EncodeFailure) as caught:
        hooked.encode(purchase())
    assert caught.value.field == "hook"
    assert PAN not in str(caught.value) and caught.value.__context__ is None
    with pytest.raises(EncodeFailure):
        hooked.encode_management(ManagementFunction.ECHO, stan="000001", now=RECEIVED)


def test_a_format_error_that_the_hook_can_t_write_is_not_answered(tmp_path: Path) -> None:
    hooked = codec(tmp_path, "def before_encode(fields):\n    raise ValueError\n")
    plain = Codec(load_dialect(specs_root() / "iso87_ascii"))
    with pytest.raises(DecodeFailure) as caught:
        hooked.decode(plain.encode(purchase(f4=None)), network="alpha", received_at=RECEIVED)
    assert (caught.value.field, caught.value.answer) == ("4", None)


def test_a_hook_that_takes_the_header_away_leaves_the_answers_without_a_form(tmp_path: Path) -> None:
    ours = extended(
        tmp_path,
        'hook = "mine.py"',
        hook=("mine.py", "def after_decode(fields):\n    del fields['h']\n    return fields\n"),
    )
    hooked, sent = Codec(ours), Codec(load_dialect(specs_root() / "base1"))
    echo = {"t": "0800", "7": "0615030405", "11": "000007", "70": "301"}
    request = hooked.decode(sent.encode(purchase(f22="0510")), network="alpha", received_at=RECEIVED)
    with pytest.raises(EncodeFailure, match="field h"):
        hooked.encode_answer(request, Answer(reason=Reason.APPROVED))
    asked = hooked.decode(sent.encode(echo), network="alpha", received_at=RECEIVED)
    with pytest.raises(EncodeFailure, match="field h"):
        hooked.encode_management_answer(asked)


# ── a hook that can't be loaded


@pytest.mark.parametrize(
    ("hook", "expected"),
    [
        ("def after_decode(fields:\n", "hook.py: SyntaxError"),
        ("import no_such_module_at_all\n", "hook.py: ModuleNotFoundError"),
        ("1 / 0\n", "hook.py: ZeroDivisionError"),
        ("raise SystemExit\n", "hook.py: SystemExit"),
        ("def decode(fields):\n    return fields\n", "hook.py: has neither after_decode nor before_encode"),
        ("after_decode = 5\n", "hook.py: after_decode: not a function of one argument"),
        ("def before_encode(fields, more):\n    return fields\n", "hook.py: before_encode: not a function of one"),
    ],
)
def test_a_broken_hook_names_its_file(tmp_path: Path, hook: str, expected: str) -> None:
    ours = folder(tmp_path, hook)
    with pytest.raises(ConfigurationError) as caught:
        load_dialect(ours)
    assert str(caught.value).startswith(f"{ours}/{expected}")


def test_a_hook_that_is_not_there(tmp_path: Path) -> None:
    ours = folder(tmp_path, TILLS)
    (ours / "hook.py").unlink()
    with pytest.raises(ConfigurationError, match=r"ours/hook\.py: can't be read: No such file"):
        load_dialect(ours)


@pytest.mark.parametrize("name", ["../hook.py", "/etc/hook.py", "sub/hook.py", "hook.sh", 5])
def test_only_a_file_beside_the_dialect_is_loaded(tmp_path: Path, name: object) -> None:
    ours = folder(tmp_path, None, f"hook = {name!r}\n")
    with pytest.raises(ConfigurationError, match=r"dialect\.toml: hook: not the name of a \.py file in this folder"):
        load_dialect(ours)


def test_a_hook_that_nobody_names_is_not_run(tmp_path: Path) -> None:
    ours = folder(tmp_path, None)
    (ours / "hook.py").write_text("raise SystemExit\n")
    assert load_dialect(ours).hook is None


def test_nothing_is_written_beside_it(tmp_path: Path) -> None:
    ours = folder(tmp_path, TILLS)
    load_dialect(ours)
    assert sorted(path.name for path in ours.iterdir()) == ["dialect.toml", "hook.py"]


@pytest.mark.parametrize("element", ["p", "41", "37", "18"])
def test_a_hook_may_take_any_element_away(tmp_path: Path, element: str) -> None:
    """Whatever it takes, a session goes on: the message is read without it, or is a format error."""
    plain = Codec(load_dialect(specs_root() / "iso87_ascii"))
    hooked = codec(tmp_path, f"def after_decode(fields):\n    fields.pop({element!r}, None)\n    return fields\n")
    for number in range(LEARN_AFTER + 2):
        fields = purchase()
        if number % 2:
            fields.pop("42", None)  # another shape under the same hook
        try:
            found = hooked.decode(plain.encode(fields), network="alpha", received_at=RECEIVED)
        except DecodeFailure:
            continue
        assert element not in found.fields
