"""What a person may say about an attempt, and when. Pure."""

from __future__ import annotations

from datetime import datetime

from switch.funding.attempt import Attempt, AttemptState, Cause

__all__ = ["why_not_kept"]


def why_not_kept(attempt: Attempt, now: datetime, *, forced: bool) -> str:
    """Why the money must not be credited by a person's word now; empty where it may, or where the machine refuses it.

    Every void that was asked for may have been carried out. While one is under way its answer decides, whatever the
    provider said before. One that was not answered is in doubt: then only who knows that it was refused for good may
    say so (``forced``), for the money would be back at its source and on the balance.
    """
    if attempt.state is not AttemptState.VOID_REQUESTED:
        return ""
    assert attempt.wake_at is not None, "it has not ended"
    if attempt.cause is not Cause.NO_ANSWER and now < attempt.wake_at:
        return f"a void is under way: its answer is due by {attempt.wake_at:%H:%M:%S} UTC"
    if forced:
        return ""
    times = "once" if attempt.tries == 1 else f"{attempt.tries} times"
    return (
        f"its void was asked for ({times}) and not answered, so it may have been carried out:"
        " --force once the provider says that the void is refused for good"
    )
