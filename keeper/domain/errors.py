"""Every error the keeper raises, drawn as a tree.

An operator asks one question first: did anything leave this machine?

* KeeperError
  x Refused              nothing left this machine
    + Misconfigured      keeper.toml, the chain, a contract or a key is not what was promised
    + Blind              a question to the chain went unanswered
      - NodeUnreachable  no answer, or none that could be read
        NoQuorum         answers, but too few endpoints that give the same
      - NodeRefused      the node answered with an error
    + Unsafe             a guard or the rehearsal said no
    + JournalBroken      what must be durable first could not be written
      - Standby          another keeper leads, and this one waits
      - Superseded       another keeper has taken over from this one
  x Ambiguous            bytes left, and nobody knows yet what became of them
"""

from __future__ import annotations


class KeeperError(Exception):
    """Anything the keeper reports in one sentence, ``room: what happened``."""


class Refused(KeeperError):
    """Nothing left this machine."""


class Misconfigured(Refused):
    """The configuration, the chain, a contract or a key is not what was promised."""


class Blind(Refused):
    """A question to the chain went unanswered, so nothing may be decided on it."""


class NodeUnreachable(Blind):
    """The node gave no answer, or none that could be read."""


class NoQuorum(NodeUnreachable):
    """Several endpoints are asked, and too few of them say the same for any to be believed."""


class NodeRefused(Blind):
    """The node answered with a JSON-RPC error; `others` are those of further endpoints asked the same."""

    def __init__(
        self, message: str, code: int = 0, data: str = "", others: tuple[NodeRefused, ...] = ()
    ) -> None:
        super().__init__(f"node: {message}")
        self.message = message
        self.code = code
        self.data = data
        self.others = others

    @property
    def is_about_rate(self) -> bool:
        """Whether the node only asks to be asked less often; asking for less at once would not help."""
        said = self.message.lower()
        if self.code == 429 or "rate limit" in said or "too many requests" in said:
            return True
        return self.code == -32005 and "more than" not in said  # the same code for too many results


class Unsafe(Refused):
    """A guard or the rehearsal said no."""


class JournalBroken(Refused):
    """What must be durable first could not be written or read."""


class Standby(JournalBroken):
    """Another keeper holds the lease of this journal, and this one may not write until it lapses."""


class Superseded(JournalBroken):
    """This keeper's lease lapsed and another has taken it, so that whatever this one decides is stale."""


class Ambiguous(KeeperError):
    """Bytes left this machine, and nobody knows yet what became of them."""
