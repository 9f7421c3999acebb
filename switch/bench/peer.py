"""The measure to compare with: pgbench of the same PostgreSQL, doing an authorization's work one transaction at a time.

It works on tables of its own in the schema ``pgbench_peer``: the same columns, keys, indexes and fill factors, as
many accounts. One transaction locks the account, updates it with the counters of its limits, and inserts the hold, the
message with its trace (a real one, of the same run) and the journal entry. It decides nothing, checks nothing and
hashes nothing.

Two forms: ``statements`` is a program that talks to PostgreSQL as usual, a statement at a time, because it has to see
the balance before it can decide. ``pipelined`` sends everything in one piece without looking: no issuer could work
so, but no issuer that makes one transaction of each authorization can be quicker.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Literal

import msgspec

from simulators.percentile import percentiles
from switch.bench.stage import BenchFailed, Stage
from switch.journal.connection import BY_INDEX, Connection

__all__ = ["FORMS", "Form", "Peer", "PeerMeasured"]

Form = Literal["statements", "pipelined"]
FORMS: tuple[Form, ...] = ("statements", "pipelined")

_SCHEMA = "pgbench_peer"
_TABLES = ("account", "hold", "message_key", "journal_entry")

_DRAW = r"""
\set account random(:first, :last) * :stride
\set stan random(1, 999999)
\set amount random(100, 200)
"""
_LOCK = "SELECT posted, held, seq FROM account WHERE account_id = :account FOR NO KEY UPDATE"
_ACCOUNT = (
    "UPDATE account SET held = held + :amount, seq = seq + 1, head_hash = :hash,"
    " usage_card_id = :account, usage_day = current_date, day_minor = day_minor + :amount, day_count = day_count + 1,"
    " month_minor = month_minor + :amount, month_count = month_count + 1,"
    " lifetime_minor = lifetime_minor + :amount, lifetime_count = lifetime_count + 1"
    " WHERE account_id = :account RETURNING held AS held_after, seq AS entry_seq"
)
_MESSAGE = (
    "INSERT INTO message_key (account_id, key, fingerprint, network, kind, mti, operation, card_id, stan, transmitted,"
    " acquirer_id, retrieval_reference, network_reference, terminal_id, merchant_id, merchant_name, mcc, amount,"
    " currency, original_stan, original_transmitted, incremental, state, reason, response_code, moved, hold_id,"
    " repeats_answered, answer, trace, decided_at)"
    " VALUES (:account, uuid_send(gen_random_uuid()), substr(:hash::bytea, 1, 16),"
    " 'iso87_ascii', 'authorization', '0100', 'purchase', :account, lpad(:stan::text, 6, '0'), '0102030405',"
    " '40000100001', lpad(:stan::text, 12, '0'), '', 'TERM0001', 'SHOP00000000001', 'KONBINI', '5411', :amount, 'JPY',"
    " '', '', false, 'answered', 'approved', '00', :amount, {seq}, 0, :answer, :trace, now())"
)
_HOLD = "INSERT INTO hold SELECT :account, {seq}, :account, 'open', :amount, :amount, 0, false, '5411', now()"
_ENTRY = (
    "INSERT INTO journal_entry SELECT :account, {seq}, 'hold', 'available', 'held', :amount, 'JPY', 0, :amount,"
    " {posted}, {held}, {seq}, 'message', substr(:hash::bytea, 1, 16), now(), now(), :hash, :hash"
)


def script(form: Form) -> str:
    """What pgbench runs."""
    if form == "statements":
        values = {"seq": ":entry_seq", "posted": ":posted", "held": ":held_after"}
        body = [
            "BEGIN;",
            rf"{_LOCK} \gset",
            rf"{_ACCOUNT} \gset",
            *(f"{text.format(**values)};" for text in (_HOLD, _MESSAGE, _ENTRY)),
            "COMMIT;",
        ]
    else:
        # Nothing comes back within a pipeline: what the statements need of the account they read themselves.
        own = "(SELECT {} FROM account WHERE account_id = :account)"
        values = {"seq": own.format("seq"), "posted": own.format("posted"), "held": own.format("held")}
        body = [
            r"\startpipeline",
            "BEGIN;",
            f"{_LOCK};",
            f"{_ACCOUNT};",
            *(f"{text.format(**values)};" for text in (_HOLD, _MESSAGE, _ENTRY)),
            "COMMIT;",
            r"\endpipeline",
        ]
    return _DRAW + "\n".join(body) + "\n"


class PeerMeasured(msgspec.Struct, frozen=True, kw_only=True):
    """One run of pgbench, after its warm-up. Latencies are those of whole transactions."""

    clients: int
    form: Form
    transactions: int
    per_second: float
    latency_ms: dict[str, float]  # p50, p99
    postgres_cpu_us: float  # per transaction


class Peer:
    """pgbench on a stage's database. ``prepare`` comes after the first traffic: it needs a real trace."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._values: dict[str, str] = {}

    def prepare(self) -> None:
        """Makes the tables, with the accounts that have cards now."""

        async def work(connection: Connection) -> None:
            await connection.execute(f"CREATE SCHEMA {_SCHEMA}")
            for table in _TABLES:
                await connection.execute(f"CREATE TABLE {_SCHEMA}.{table} (LIKE switch.{table} INCLUDING ALL)")
                # LIKE takes all but the fill factor.
                options = await connection.fetchval(
                    "SELECT array_to_string(reloptions, ', ') FROM pg_class WHERE oid = $1::regclass", f"switch.{table}"
                )
                if options:
                    await connection.execute(f"ALTER TABLE {_SCHEMA}.{table} SET ({options})")
            await connection.execute(
                f"INSERT INTO {_SCHEMA}.account OVERRIDING SYSTEM VALUE"  # noqa: S608 - a constant of this module
                " SELECT a.* FROM switch.account a WHERE EXISTS"
                " (SELECT FROM switch.card c WHERE c.account_id = a.account_id)"
            )
            await connection.execute(f"ANALYZE {', '.join(f'{_SCHEMA}.{table}' for table in _TABLES)}")
            row = await connection.fetchrow(
                "SELECT answer, trace FROM switch.message_key WHERE reason = 'approved' LIMIT 1"
            )
            if row is None:
                raise BenchFailed("the switch has approved nothing yet")
            self._values = {"answer": row["answer"], "trace": row["trace"], "hash": "\\x" + "5a" * 32}

        self._stage.server.ask(self._stage.database, work)

    @property
    def trace_bytes(self) -> int:
        """How long the trace is that each message stores."""
        return len(self._values["trace"])

    def measure(
        self,
        *,
        clients: int,
        seconds: int,
        warm_up_seconds: float,
        accounts: range,
        form: Form = "statements",
        rate: float | None = None,
    ) -> PeerMeasured:
        """Runs pgbench with ``-M prepared``. With ``rate`` it begins so many a second at random moments, and latencies
        count from these. Raises BenchFailed with what it said when it failed.
        """
        server = self._stage.server
        with tempfile.TemporaryDirectory(dir=server.directory) as place:
            file = Path(place) / f"{form}.sql"
            file.write_text(script(form))
            values = {
                **self._values,
                "first": str(accounts[0] // accounts.step),
                "last": str(accounts[-1] // accounts.step),
                "stride": str(accounts.step),
            }
            planner = " ".join(f"-c {name}={value}" for name, value in {**BY_INDEX, "jit": "off"}.items())
            before = server.cpu_seconds()
            process = subprocess.Popen(
                [
                    server.postgres.bin_dir / "pgbench",
                    "--no-vacuum",
                    "--protocol=prepared",
                    f"--file={file}",
                    f"--client={clients}",
                    f"--jobs={min(clients, os.cpu_count() or 1)}",
                    f"--time={seconds}",
                    *([] if rate is None else [f"--rate={rate:.3f}"]),
                    "--log",
                    f"--log-prefix={place}/log",
                    *(f"--define={name}={value}" for name, value in values.items()),
                    server.postgres.dsn("postgres", self._stage.database),
                ],
                env={**os.environ, "PGOPTIONS": f"-c search_path={_SCHEMA} {planner}"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
            try:
                said = process.communicate()[0]
            except BaseException:
                process.kill()
                process.wait()
                raise
            if process.returncode:
                raise BenchFailed(f"pgbench ended with {process.returncode}: {said.strip()[-1000:]}")
            spent = server.cpu_seconds() - before
            return _measured(clients, form, sorted(Path(place).glob("log*")), warm_up_seconds, spent)


def _measured(clients: int, form: Form, logs: list[Path], warm_up_seconds: float, cpu_seconds: float) -> PeerMeasured:
    """From pgbench's log: client, number, latency in us, script, when it ended (seconds, microseconds), and the lag."""
    ended: list[tuple[float, float]] = []
    for log in logs:
        for line in log.read_text().splitlines():
            _, _, taken_us, _, seconds, micros = line.split()[:6]
            ended.append((int(seconds) + int(micros) / 1e6, int(taken_us) / 1e3))
    if not ended:
        raise BenchFailed("pgbench finished no transaction")
    ended.sort()
    first, last = ended[0][0] + warm_up_seconds, ended[-1][0]
    measured = [taken for when, taken in ended if when > first]
    if len(measured) < 2:
        raise BenchFailed("pgbench finished no transaction after the warm-up")
    found = percentiles(measured, (0.5, 0.99))
    return PeerMeasured(
        clients=clients,
        form=form,
        transactions=len(measured),
        per_second=len(measured) / (last - first),
        latency_ms={"p50": statistics.median(measured), "p99": found[0.99]},
        postgres_cpu_us=cpu_seconds * 1e6 / len(ended),
    )
