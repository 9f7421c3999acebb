"""The books in PostgreSQL: migrations, the unit of work, reads, the hash chain. The only room that knows SQL.

One transaction books a whole batch (group commit): it locks the batch's accounts in id order, lets the issuer decide
message after message on the loaded books, writes entries, holds, usages and stored answers, and commits. Only then
may an answer leave. All writes go through one database function, ``record_unit``, which checks the chain and the
balances again; the daemon's role may call it and may write nothing by itself.

``bridge`` is the one place where trio meets asyncio (asyncpg).
"""
