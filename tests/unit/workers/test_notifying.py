"""The requestor's own `callbackUrl`: verbatim, or with the IRMA server's slash."""

from __future__ import annotations

import pytest

from orchestrator.domain.chain import View
from orchestrator.ports import Message
from schemas.messages import CallbackSecrets, CallbackWork, parse_work
from tests.support.samples import NOW, disclosure, result_of
from tests.support.workshop import Workshop
from workers.notifying import Notifier


def url_of(workshop: Workshop, message: Message) -> str:
    """Where a delivery goes."""
    work = parse_work(message.body)
    assert isinstance(work, CallbackWork)
    opened = workshop.sealer.open_model(CallbackSecrets, work.sealed, bound_to=work.id)
    return opened.url


@pytest.mark.trap("T7")
@pytest.mark.parametrize(
    "given, slashed",
    [
        ("https://a.example/cb", "https://a.example/cb/"),
        ("https://a.example/cb/", "https://a.example/cb/"),
        ("https://a.example/cb?x=1", "https://a.example/cb?x=1/"),
    ],
)
async def test_a_slash_is_only_appended_where_that_is_configured(
    workshop: Workshop, given: str, slashed: str
) -> None:
    """Textually, as the IRMA server does it, even after a query."""
    begun = await workshop.begin(disclosure(callbackUrl=given))
    view = View(
        chain=await workshop.chain(begun.id),
        step=await workshop.row(begun.slot),
        following=None,
        now=NOW,
    )
    told = result_of(begun.token)

    for slash, expected in ((False, given), (True, slashed)):
        notifier = Notifier(rows=workshop.rows, make=workshop.make, slash=slash)
        (message,) = notifier.as_reported(begun.slot, view, told)
        assert url_of(workshop, message) == expected
