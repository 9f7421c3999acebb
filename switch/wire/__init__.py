"""Bytes to messages and back: framing, dialects, codec, masking.

This room does no network I/O, reads no clock and decides nothing: a frame goes in, a typed, dialect-neutral request
comes out; an answer goes in, bytes come out. What differs between networks is data under ``specs/<dialect>/``, read
once at start. It must not know sessions, cards' balances or the database.
"""
