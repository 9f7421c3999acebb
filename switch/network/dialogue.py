"""Network management of one session: who is signed on, and which 0800 of ours waits for its 0810. Pure.

The table, by who asks (columns: what the other side is answered, and whether the session is signed on afterwards)::

    sign-on  (DE70 001)  from the peer   APPROVED                yes
    sign-off (DE70 002)  from the peer   APPROVED                no
    echo     (DE70 301)  from the peer   APPROVED                as before
    anything else        from the peer   UNSUPPORTED_OPERATION   as before
    sign-on  of ours, answered 00                                yes
    sign-off of ours, once it is sent                            no
"""

from __future__ import annotations

from collections import deque

from switch.contracts.reason import Reason
from switch.network.correlation import Near, nearest
from switch.wire.inbound import ManagementFunction
from switch.wire.rules import ManagementRules

__all__ = ["Dialogue"]

# Echoes of a peer that never answers would pile up; the session is closed long before so many.
_OUTSTANDING_MAX = 128

# To tell a second answer from one to nothing.
_ANSWERED_MAX = 16


class Dialogue:
    """The state of sign-on, and our unanswered 0800s by STAN (DE11), which is counted per session.

    An 0810 answers the 0800 with its STAN, unless its DE70 names another function than was asked for. An answer that
    comes after the time-out still counts as one.
    """

    __slots__ = ("_answered", "_asked", "_management", "_stan", "signed_on")

    def __init__(self, management: ManagementRules | None = None) -> None:
        self.signed_on = False
        self._management = management
        self._stan = 0
        self._asked: dict[str, ManagementFunction] = {}
        self._answered: deque[str] = deque(maxlen=_ANSWERED_MAX)

    def ask(self, function: ManagementFunction) -> str:
        """The STAN for an 0800 of ours that is sent now."""
        self._stan = self._stan % 999_999 + 1
        stan = f"{self._stan:06d}"
        if len(self._asked) >= _OUTSTANDING_MAX:
            del self._asked[next(iter(self._asked))]
        self._asked[stan] = function
        if function is ManagementFunction.SIGN_OFF:
            self.signed_on = False
        return stan

    def answered(
        self, stan: str, *, said: ManagementFunction | None = None, approved: bool
    ) -> ManagementFunction | None:
        """What the 0810 with this STAN answers, or None when we did not ask it.

        ``said`` is the function in its DE70; None when it has no DE70.
        """
        function = self._asked.get(stan)
        if function is None or said not in {None, function}:
            return None
        del self._asked[stan]
        self._answered.append(stan)
        if function is ManagementFunction.SIGN_ON and approved:
            self.signed_on = True
        return function

    def rejected(self, stan: str) -> ManagementFunction | None:
        """Our 0800 with this STAN came back unread: what it was for, or None when we did not ask it."""
        return self.answered(stan, approved=False)

    def nearest(self, mti: str, stan: str, said: ManagementFunction | None) -> Near:
        """What an answer that matched nothing may have meant."""
        management = self._management
        if management is None:
            return nearest(mti, stan, said, self._asked, self._answered)
        return nearest(
            mti,
            stan,
            said,
            self._asked,
            self._answered,
            question_mti=management.request,
            code_field=management.code_field,
        )

    def asked(self, function: ManagementFunction) -> Reason:
        """The peer's 0800 is taken in; the reason for its 0810 is returned."""
        if function is ManagementFunction.SIGN_ON:
            self.signed_on = True
        elif function is ManagementFunction.SIGN_OFF:
            self.signed_on = False
        elif function is not ManagementFunction.ECHO:
            return Reason.UNSUPPORTED_OPERATION
        return Reason.APPROVED
