"""``[funding]`` as a file has it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from switch.contracts.funding import Charge, Charged, Query, Void
from switch.funding.pace import Pace
from switch.funding.settings import FundingSettings

GOOD = """
budget_seconds = 2.5

[pace]
answer_seconds = 4

[[provider]]
name = "acme"
url = "https://funding.example/top-up"
key_id = "issuer-7"
key_file = "keys/acme.key"
ca = "tls/acme-ca.pem"

[provider.breaker]
failures_max = 3
"""


def read(text: str) -> FundingSettings:
    return msgspec.toml.decode(text, type=FundingSettings, dec_hook=lambda _kind, value: Path(value))


def test_a_file() -> None:
    settings = read(GOOD)
    (provider,) = settings.provider
    assert (provider.name, provider.breaker.failures_max, provider.key_file) == ("acme", 3, Path("keys/acme.key"))
    assert (settings.budget_seconds, settings.pace.answer_seconds) == (2.5, 4)
    assert read("") == FundingSettings()


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("budget_seconds = 2.5", "budget = 2.5", "unknown field `budget`"),
        ("budget_seconds = 2.5", "budget_seconds = nan", "budget_seconds"),
        ("budget_seconds = 2.5", "overdue_seconds = [60, 0]", "overdue_seconds: between 1"),
        ("answer_seconds = 4", "answer_seconds = 3", r"pace.answer_seconds: more than 3.0 \(answer_seconds of acme\)"),
        ("failures_max = 3", "failures = 3", r"unknown field `failures` - at `\$.provider\[0\].breaker`"),
        ('name = "acme"', 'name = "Acme Inc"', r"name: .* - at `\$.provider\[0\]`"),
        ("https://funding.example/top-up", "http://funding.example", "url: http only to this machine"),
        ("https://funding.example/top-up", "ftp://funding.example", "url: https://HOST"),
        ("https://funding.example/top-up", "https://", "url: https://HOST"),
        ("https://funding.example/top-up", "https://me:pw@funding.example", "url: neither user"),
        ("https://funding.example/top-up", "https://funding.example/?a=b", "url: neither user"),
        ("https://funding.example/top-up", "https://funding.example:port", "url: no URL"),
        ("https://funding.example/top-up", "https://funding.example/a b", "url: only letters"),
        ('ca = "tls/acme-ca.pem"', 'certificate = "tls/us.crt"', "certificate: certificate and certificate_key"),
        ('ca = "tls/acme-ca.pem"', "connect_seconds = 1.5", "answer_seconds: at least three times"),
        ('ca = "tls/acme-ca.pem"', 'kind = "carrier-pigeon"', "kind"),
        ('key_id = "issuer-7"', 'key_id = ""', "key_id"),
    ],
)
def test_what_is_wrong_is_named(old: str, new: str, text: str) -> None:
    assert old in GOOD
    with pytest.raises(msgspec.ValidationError, match=text) as found:
        read(GOOD.replace(old, new))
    assert "pw" not in str(found.value)


def test_two_of_one_name() -> None:
    provider = GOOD[GOOD.index("[[provider]]") : GOOD.index("[provider.breaker]")]
    with pytest.raises(msgspec.ValidationError, match="provider: two have the same name"):
        read(GOOD + provider)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1", "https://a.example"])
def test_http_is_for_this_machine_itself(url: str) -> None:
    assert read(GOOD.replace("https://funding.example/top-up", url)).provider[0].url == url


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"answer_seconds": 0}, "answer_seconds"),
        ({"pause_first_seconds": 2, "pause_max_seconds": 1}, "pause_max_seconds: between 2"),
        ({"charge_tries_max": 0}, "charge_tries_max"),
        ({"alert_after_tries": 0}, "alert_after_tries"),
        ({"pause_max_seconds": float("nan")}, "pause_max_seconds"),
    ],
)
def test_paces_are_checked(change: dict[str, float], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Pace(**change)  # type: ignore[arg-type]  # wrong values on purpose


def test_the_contract_refuses_what_no_provider_should_hear() -> None:
    good = {"key": "a-1", "source": "tok-1", "amount_minor": 1, "currency": "JPY"}
    Charge(**good)  # type: ignore[arg-type]  # a table of fields
    for change, text in (
        ({"amount_minor": 0}, "amount_minor"),
        ({"amount_minor": 10**12}, "amount_minor"),
        ({"currency": "XXX"}, "currency"),
        ({"key": ""}, "key"),
        ({"key": "a\r\nX-Header: 1"}, "key"),
        ({"source": "4" + "0" * 15}, "digits alone could be a card number"),
    ):
        with pytest.raises(ValueError, match=text) as found:
            Charge(**{**good, **change})  # type: ignore[arg-type]  # a table of fields
        assert "0" * 15 not in str(found.value)
    with pytest.raises(ValueError, match="charge_key"):
        Query(key="q", charge_key="ü")
    with pytest.raises(ValueError, match="reference"):
        Void(key="v", charge_key="a", reference="")
    with pytest.raises(ValueError, match="reference"):
        Charged("two words", 1, "JPY")
