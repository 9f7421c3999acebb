"""Damaged messages over real sockets: does the switch hold, and does it approve nothing that nobody asked for?

======== ==========================================================================================
forge    sound messages of an acquirer, and everything that can be done to one (seeded, so repeatable)
oracle   reads what was really sent with pyiso8583 alone, and judges each approval by it
pending  what a session has asked for, and which approval answers it
hostile  a session that sends batches of damaged frames, and opens again when the switch closes it
healthy  a session that behaves, in a process of its own
watch    its latency, before and meanwhile; the daemon's memory
run      puts them together
======== ==========================================================================================

What "damaged" means. ISO 8583 has no checksum: an amount of 1,000 with one bit flipped may be a sound message that asks
for 3,000, and approving it is right. So the oracle does not ask what was done to a message but what it says afterwards.
An approval must answer a message that was sent on this session, can be read whole and by somebody else's decoder, holds
digits where its dialect has digits, names a card that exists, and asks for exactly what was approved, under exactly the
references that the answer repeats. Anything else is a message that the switch should not have approved.
"""
