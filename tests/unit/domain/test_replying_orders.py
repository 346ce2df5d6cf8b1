"""Replies, inline answers, deadlines and a replay in any order: one thing follows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.chain import Chain, Ending, Step, View
from orchestrator.domain.claiming import Budget, Claim, claim_end, claim_next
from orchestrator.domain.replying import Replied, take_reply
from orchestrator.domain.ruling import Ruling
from schemas.messages import End
from tests.unit.domain.samples import CHAIN, COMPLETED, FIRST, NEXT, PROVED, a_view

#: Two requests, the end, and what nobody says but is decided all the same.
ANSWERS: Final = ("A", "B", "end")
ENDS: Final = {"end": End.COMPLETED, "failed": End.FAILED, "expired": End.EXPIRED}

STEP: Final = replace(COMPLETED, slot=FIRST, token_hash="cafe", sealed_result="result")

Act = tuple[str, str]
ACTS: Final = st.one_of(
    st.tuples(st.just("reply"), st.sampled_from(ANSWERS)),
    st.tuples(st.just("claim"), st.sampled_from((*ANSWERS, "failed", "expired"))),
    st.tuples(st.sampled_from(["relay", "replay"]), st.just("")),
)


@dataclass
class Ledger:
    """One step's rows, the reply that was taken, and all that has followed."""

    chain: Chain = CHAIN
    step: Step = STEP
    following: Step | None = None
    taken: str | None = None

    def act(self, act: Act) -> None:
        """Somebody does something."""
        what, answer = act
        if what == "reply":
            self.reply(answer)
        elif what == "claim":
            self.claim(answer)
        elif what == "relay" and self.taken is not None:
            self.claim(self.taken)
        elif what == "replay":
            self.chain = replace(self.chain, generation=1)

    def reply(self, answer: str) -> None:
        """The gateway takes it in, or says why not."""
        known = {self.taken, self.following.answer_hash if self.following else None}
        ruling = take_reply(
            self._view(), FIRST, answer_hash=answer, session="cafe", told=False
        )
        assert (ruling.outcome is Replied.REPEATED) == (answer in known)
        if ruling.outcome is Replied.TAKEN:
            assert self.taken is None
            assert self.following is None
            assert self.chain.takes(FIRST)
            self.taken = answer
        self._write(ruling)

    def claim(self, answer: str) -> None:
        """The session worker claims the slot for an answer, or for the lack of one."""
        if answer in ENDS:
            ending = Ending(end=ENDS[answer], cause=answer)
            self._write(
                claim_end(self._view(), FIRST, ending, proved=PROVED, answer_hash=answer)
            )
            return
        ruling: Ruling[Claim] = claim_next(
            self._view(),
            FIRST,
            NEXT,
            PROVED,
            answer_hash=answer,
            cause=answer,
            deadline=None,
            budget=Budget(),
        )
        self._write(ruling)

    def _view(self) -> View:
        return a_view(self.step, self.following, chain=self.chain)

    def _write(self, ruling: Ruling[Replied] | Ruling[Claim]) -> None:
        for row in ruling.steps:
            if row.slot == FIRST:
                self.step = row
                continue
            assert self.following is None, "two things follow"
            self.following = row
        self.chain = ruling.chain or self.chain


@given(st.lists(ACTS, max_size=8))
def test_one_thing_follows_and_a_reply_that_was_taken_is_it(acts: list[Act]) -> None:
    """In whatever order; only a replay may come between a 2xx and its claim."""
    ledger = Ledger()
    for act in acts:
        ledger.act(act)
        if ledger.taken is not None and ledger.following is not None:
            assert ledger.following.answer_hash == ledger.taken
    open_still = ledger.chain.takes(FIRST)
    if ledger.taken is not None and open_still:
        ledger.claim(ledger.taken)
        assert ledger.following is not None
        assert ledger.following.answer_hash == ledger.taken
