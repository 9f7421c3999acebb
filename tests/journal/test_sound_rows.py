"""What PostgreSQL itself refuses to have in a row of the books, whoever writes it."""

from __future__ import annotations

import asyncpg
import msgspec
import pytest

from tests.journal.counter import Counter, on
from tests.journal.server import Database

#: What makes the row of a purchase unsound, one at a time.
UNSOUND: dict[str, list[dict[str, object]]] = {
    "account": [
        *[{name: -1} for name in ("seq", "held", "bonus_held", "day_minor", "day_count", "month_minor", "month_count")],
        {"lifetime_minor": -1},
        {"lifetime_count": -1},
        {"bonus_posted": -1},
        {"bonus_held": 101, "bonus_posted": 200},  # more than is held at all
        {"bonus_held": 2, "bonus_posted": 1},
        {"usage_day": None},
        {"usage_card_id": None},
        {"currency": "yen"},
    ],
    "hold": [
        *[{name: -1} for name in ("authorized", "held", "posted", "presented", "refunded")],
        *[{name: -1} for name in ("held_bonus", "posted_bonus", "refunded_bonus")],
        {"held_bonus": 101},
        {"posted_bonus": 1},
        {"refunded_bonus": 1},
        {"state": "reversed"},  # with something held
    ],
    "journal_entry": [
        {"seq": 0},
        {"seq": -1},
        {"amount": 0},
        {"amount": -1},
        {"held_after": -1},
        {"credit": "cardholder.available"},  # which is debited
    ],
    "message_key": [
        {"key": "\\x00"},
        {"moved": -1},
        {"state": "thought_about"},
    ],
}


@pytest.mark.parametrize(
    ("table", "change"),
    [pytest.param(table, change, id=f"{table}-{change}") for table, changes in UNSOUND.items() for change in changes],
)
def test_no_unsound_row(database: Database, table: str, change: dict[str, object]) -> None:
    async def scenario(counter: Counter) -> None:
        client = await counter.client(10_000)
        await counter.unit().run([counter.item(client, counter.request(client, amount_minor=100))])
        root = await counter.root()
        copy = (
            f"INSERT INTO {table} OVERRIDING SYSTEM VALUE"
            f" SELECT (jsonb_populate_record(t, $1::text::jsonb)).* FROM {table} t WHERE account_id = $2 ORDER BY ctid DESC LIMIT 1"
        )
        with pytest.raises(asyncpg.UniqueViolationError):  # as it stands, it is sound
            await root.execute(copy, "{}", client.account_id)
        with pytest.raises(asyncpg.CheckViolationError):
            await root.execute(copy, msgspec.json.encode(change).decode(), client.account_id)

    on(database, scenario)
