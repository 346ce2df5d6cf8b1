"""Rehearsals on real chains: what is POSTed, what is told, and that nothing changes."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from orchestrator.domain.delivery import Answer, Reply, RetryPolicies, RetryPolicy
from orchestrator.domain.failing import FailureFilter
from orchestrator.domain.replaying import Claimed
from orchestrator.ports import Changes
from schemas.messages import End
from tests.support.fakes import FakeCaller
from tests.support.samples import (
    FULLNAME,
    TARGET,
    disclosure,
    issuance,
    requestors,
    result_of,
)
from tests.support.workshop import Begun, Workshop
from tests.unit.workers.answering import says
from workers.rehearsing import NotRehearsed, Rehearser

SHADOW = "https://candidate.example/next"


async def failed(workshop: Workshop) -> Begun:
    """A chain whose first callback was given up."""
    begun = await workshop.begin(disclosure(TARGET))
    await says(workshop, begun, End.FAILED, waited_s=None)
    await workshop.settled()
    workshop.publisher.calls.clear()
    return begun


async def failures(workshop: Workshop) -> list[Claimed]:
    """All that could be replayed."""
    cut_off = await workshop.store.replays.cut_off()
    return await workshop.store.replays.claimable(
        FailureFilter(), cut_off, after=0, limit=9
    )


def rehearser(workshop: Workshop, *replies: Reply) -> tuple[Rehearser, FakeCaller]:
    """POSTs to a candidate that answers so."""
    caller = FakeCaller(replies=replies)
    made = Rehearser(
        store=workshop.store,
        rows=workshop.rows,
        caller=caller,
        signer=workshop.signer,
        requestors=requestors(),
        policies=RetryPolicies(common=RetryPolicy()),
        clock=workshop.clock,
        random=lambda: 0.5,
        url=SHADOW,
        name="rehearsal-1",
        timeout_s=20.0,
        augment=False,
    )
    return made, caller


def answered(status: int, body: bytes = b"") -> Answer:
    """The candidate's answer."""
    return Answer(status=status, body=body, duration_s=0.1)


async def test_the_recorded_result_is_posted_and_nothing_changes(
    workshop: Workshop,
) -> None:
    """Signed as a callback is; but it is none: its id is its own, and it says so."""
    workshop.signer.webhooks.add("acme")
    begun = await failed(workshop)
    before = await workshop.chain(begun.id), await workshop.store.steps(begun.id)
    (one,) = await failures(workshop)
    made, caller = rehearser(workshop, answered(204))
    assert str(await made.rehearse(one.failure)) == "completed"
    (post,) = caller.posts
    assert (post.url, post.requestor) == (SHADOW, "acme")
    result, _, _ = workshop.signer.signed[-1]
    assert result == result_of(begun.token).to_wire()
    assert post.body.decode() == f"header.claims.{len(workshop.signer.signed)}"
    assert post.headers["webhook-id"] == f"rehearsal-1-{begun.id}"
    assert post.headers["Chain-Rehearsal"] == "true"
    assert "webhook-signature" in post.headers
    assert "Chain-Reply-To" not in post.headers
    after = await workshop.chain(begun.id), await workshop.store.steps(begun.id)
    assert after == before
    assert await failures(workshop) == [one]
    assert workshop.publisher.calls == []
    assert await workshop.waiting() == []


@pytest.mark.parametrize(
    "body, expected",
    [
        (disclosure(), "next: disclosing"),
        (issuance(), "next: issuing"),
        ({"@context": "MARKER"}, "invalid-answer 200"),
        (disclosure(""), "other"),
    ],
)
async def test_what_the_candidate_asks_for_is_examined(
    workshop: Workshop, body: dict[str, object], expected: str
) -> None:
    """By the rules that the session worker has; nothing is started."""
    await failed(workshop)
    (one,) = await failures(workshop)
    made, _ = rehearser(workshop, answered(200, json.dumps(body).encode()))
    assert str(await made.rehearse(one.failure)) == expected
    assert workshop.backend.requests[1:] == []


async def test_what_its_requestor_may_not_ask_for_is_told(workshop: Workshop) -> None:
    """As it would fail."""
    await failed(workshop)
    (one,) = await failures(workshop)
    body = json.dumps(disclosure()).replace(FULLNAME, "pbdf.other.card.name")
    made, _ = rehearser(workshop, answered(200, body.encode()))
    assert str(await made.rehearse(one.failure)) == "not-authorized 200"


async def test_what_cannot_be_posted_is_told(workshop: Workshop) -> None:
    """A chain that was replayed meanwhile, is not there, or never came to a POST."""
    begun = await failed(workshop)
    (one,) = await failures(workshop)
    made, caller = rehearser(workshop)
    chain = await workshop.chain(begun.id)
    opened = Changes(chain=replace(chain, generation=1))
    await workshop.store.decide(begun.slot, lambda _: (None, opened))
    said = await made.rehearse(one.failure)
    assert said == NotRehearsed(reason="the chain was replayed before")
    gone = replace(one.failure, slot=replace(one.failure.slot, chain_id="C9"))
    assert await made.rehearse(gone) == NotRehearsed(reason="there is no such chain")
    assert caller.posts == []


async def test_a_session_that_nobody_came_for_has_nothing_to_post(
    workshop: Workshop,
) -> None:
    """It would be started again, and is not."""
    begun = await workshop.begin(disclosure())
    await workshop.report(begun.slot, result_of(begun.token, "TIMEOUT"))
    found = await failures(workshop)
    made, caller = rehearser(workshop)
    assert [await made.rehearse(one.failure) for one in found] == [
        NotRehearsed(reason="nothing was POSTed when it failed")
    ]
    assert caller.posts == []
