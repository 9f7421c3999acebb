"""Clearing files in: what a network says, days after the authorization, must be settled.

A file is read twice. :func:`switch.clearing.file.inspect` checks it whole (structure, every record, counts and totals
against its trailer) and computes its digest, before anything may be booked; :func:`switch.clearing.file.records` then
gives its records as requests of the kind ``presentment``, from any of them on, so that a run which was broken off goes
on where it stopped. Neither holds more than a record and a buffer.

===============  ===================================================  ==========================================
module           what                                                 formats: README.md beside this file
===============  ===================================================  ==========================================
``file``         ``inspect``, ``records``, ``FileSummary``            the door to this room
``source``       bytes: bounded lines, the digest, which format       all
``lines``        header first, trailer last, numbers that count up    the two neutral formats
``neutral``      what a neutral record says, and its request          the two neutral formats
``jsonl``        JSON Lines                                           neutral
``comma``        comma-separated values                               neutral
``ipm``          messages of an IPM-like file, and their requests     IPM-like
``ipm_fields``   its field table                                      IPM-like
``vbs``          its records: lengths, and blocks of 1014 bytes       IPM-like
``tally``        what has been read: counts and totals                all
===============  ===================================================  ==========================================

Everything here is synchronous: the caller gives it a thread. It knows no balances, no SQL and no settings, and never
says a card number: errors name file, record and element.
"""
