"""The books in PostgreSQL: migrations, the unit of work, reads, the hash chain. The only room that knows SQL.

One commit books a whole batch (group commit): the books are loaded with each account's version, the issuer decides
message after message on them, and entries, holds, usages and stored answers are written. Only then may an answer
leave. All writes go through one database function, ``record_unit``, which refuses a batch whose accounts have changed
since, and checks the chain and the balances again; the daemon's role may call it and may write nothing by itself.

``bridge`` is the one place where trio meets asyncio (asyncpg).
"""
