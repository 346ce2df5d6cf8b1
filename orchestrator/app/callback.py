"""The callback worker process."""

from __future__ import annotations

import random

from yarl import URL

from orchestrator.app.consuming import consume
from orchestrator.app.isolation import open_gate
from orchestrator.app.signing import signing
from orchestrator.app.tools import make_event_urls, open_tools
from orchestrator.broker.holding import hold
from orchestrator.callbacks import HttpCaller
from orchestrator.callbacks.egress import ClientCertificate, Egress, Route
from orchestrator.domain.delivery import RetryPolicies, RetryPolicy
from orchestrator.domain.egress import Allowance, read_network
from orchestrator.ports import LANES, utc_now
from orchestrator.settings import Settings
from orchestrator.settings.sections import Allowed, RequestorEgress
from schemas.messages import Lane
from workers.callback import CallbackWorker
from workers.parking import Parking
from workers.telling import EventTeller


async def run_callback_worker(settings: Settings, lane: Lane = Lane.LIVE) -> None:
    """Consume one lane of callbacks until SIGTERM."""
    limits = settings.callbacks
    async with (
        open_tools(settings, "callback") as tools,
        signing(settings) as signer,
        HttpCaller.open(
            make_egress(settings),
            answer_bytes_max=limits.answer_bytes_max,
            connect_timeout_s=limits.connect_timeout_s,
            read_timeout_s=limits.read_timeout_s,
        ) as caller,
        open_gate(tools) as gate,
    ):
        worker = CallbackWorker(
            publisher=tools.publisher,
            store=tools.store,
            sealer=tools.sealer,
            make=tools.make,
            gate=gate,
            parking=Parking(tools.store),
            caller=caller,
            signer=signer,
            policies=make_policies(settings),
            public_url=settings.public_url,
            timeout_s=limits.timeout_s,
            clock=utc_now,
            random=random.random,
            hold=hold,
        )
        handler = _teller(worker, settings) if lane is Lane.EVENTS else worker
        await consume(tools, LANES[lane], handler, limits.concurrency)


def _teller(callbacks: CallbackWorker, settings: Settings) -> EventTeller:
    """What handles the lane of events, with all that callbacks are handled with."""
    return EventTeller(
        callbacks=callbacks,
        urls=make_event_urls(settings),
        store=callbacks.store,
        make=callbacks.make,
        gate=callbacks.gate,
        parking=callbacks.parking,
        caller=callbacks.caller,
        signer=callbacks.signer,
        policies=callbacks.policies,
        timeout_s=callbacks.timeout_s,
        clock=callbacks.clock,
        random=callbacks.random,
        hold=callbacks.hold,
    )


def make_policies(settings: Settings) -> RetryPolicies:
    """The two retry clocks, for all and for those who have their own."""
    keys = settings.requestor_keys()
    common = settings.retry.model_dump()
    own = {
        keys[name]: common | requestor.retry.model_dump(exclude_unset=True)
        for name, requestor in settings.requestors.items()
        if requestor.retry.model_fields_set
    }
    reply_s = settings.callbacks.reply_s
    return RetryPolicies(
        common=RetryPolicy(**common, reply_s=reply_s),
        own={key: RetryPolicy(**retry, reply_s=reply_s) for key, retry in own.items()},
    )


def make_egress(settings: Settings) -> Egress:
    """Where callbacks may go and how; what a requestor has is added to the common."""
    egress = settings.egress
    common = _allowance(egress, frozenset(egress.allowed_ports))
    keys = settings.requestor_keys()
    proxy = egress.proxy
    return Egress(
        common=Route(allowance=common),
        routes={
            keys[name]: Route(
                allowance=common.plus(_allowance(requestor.egress)),
                certificate=_certificate(requestor.egress),
            )
            for name, requestor in settings.requestors.items()
        },
        proxy=None if proxy is None else URL(proxy.get_secret_value()),
        ca_file=egress.ca_file,
    )


def _allowance(allowed: Allowed, ports: frozenset[int] = frozenset()) -> Allowance:
    return Allowance(
        networks=tuple(read_network(text) for text in allowed.allowed_networks),
        hosts=allowed.allowed_hosts,
        http=allowed.allow_http,
        ports=ports,
    )


def _certificate(own: RequestorEgress) -> ClientCertificate | None:
    if own.client_certificate_file is None:
        return None
    return ClientCertificate(
        file=own.client_certificate_file, key_file=own.client_key_file
    )
