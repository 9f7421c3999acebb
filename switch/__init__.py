"""The issuer switch: decides ISO 8583 messages for a prepaid-card issuer and keeps the balance journal.

The rooms, and what each may import, are drawn in the README; import-linter holds the direction.
"""
