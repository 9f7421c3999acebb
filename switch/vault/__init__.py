"""Card secrets: how a PAN is kept at rest, and the codes that prove a card is there (CVV, iCVV, CVV2).

Pure: keys and nonces are handed in, nothing is logged, no clock is read, no random number drawn. The one file access is
``switch.vault.keys``, which the composition root calls once at its start. It must not know requests, cards or
accounts; the issuer's rules call it by a protocol of their own.
"""
