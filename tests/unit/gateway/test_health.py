"""`/livez` and `/readyz` of the gateway."""

from __future__ import annotations

from tests.support.asgi import call
from tests.support.workshop import Workshop
from tests.unit.conftest import LoseStore


async def test_a_gateway_that_has_all_is_ready(workshop: Workshop) -> None:
    """The real store answers."""
    answer = await call(workshop.gateway, "GET", "/readyz")
    assert (answer.status, answer.json) == (200, {"ready": True})
    assert answer.headers["cache-control"] == "no-store"


async def test_without_the_broker_it_is_ready_and_says_so(workshop: Workshop) -> None:
    """Chains are started and results are taken in, by the store alone."""
    workshop.publisher.down = True
    answer = await call(workshop.gateway, "GET", "/readyz")
    assert (answer.status, answer.json) == (200, {"ready": True, "degraded": ["broker"]})


async def test_without_the_store_it_is_ready_and_says_so(
    workshop: Workshop, lose_store: LoseStore
) -> None:
    """A result is taken in by the broker alone, if somebody still sends it here."""
    lose_store("ping")
    answer = await call(workshop.gateway, "GET", "/readyz")
    assert (answer.status, answer.json) == (200, {"ready": True, "degraded": ["store"]})


async def test_without_both_it_is_not_ready_but_alive(
    workshop: Workshop, lose_store: LoseStore
) -> None:
    """Nothing can be accepted; a restart would not bring them back."""
    lose_store("ping")
    workshop.publisher.down = True
    app = workshop.gateway
    answer = await call(app, "GET", "/readyz")
    assert (answer.status, answer.fields["faults"]) == (503, ["broker", "store"])
    assert answer.headers["content-type"] == "application/problem+json"
    live = await call(app, "GET", "/livez")
    assert (live.status, live.body) == (200, b"OK")
