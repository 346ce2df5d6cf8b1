"""The words of the chain page, in the languages it speaks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from schemas.chain_page import PageState
from schemas.irma import SessionType


class Language(StrEnum):
    """What the page speaks; the first is for everybody else."""

    ENGLISH = "en"
    DUTCH = "nl"


@dataclass(frozen=True, kw_only=True)
class Words:
    """A heading and what it means."""

    title: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Texts:
    """All that the page says in one language.

    Attributes:
        name: what the language calls itself.
        asks: what is to be scanned, by the kind of session.
        states: everything else, by state.
        step: of which session this is.
        qr: what stands for the QR where it cannot be seen.
        open_app: on the button that opens the app on the same device.
        go_on: on the link to where the user goes on to.
        going_on: that this happens by itself.
        gone: of a page that is not there.
        away: of a page that cannot be shown now.
    """

    name: str
    asks: dict[SessionType, Words]
    states: dict[PageState, Words]
    step: str
    qr: str
    open_app: str
    go_on: str
    going_on: str
    gone: Words
    away: Words

    def words(self, state: PageState, session_type: SessionType) -> Words:
        """Heading and text of a state."""
        if state is PageState.INITIALIZED:
            return self.asks[session_type]
        return self.states[state]


_SCAN_EN: Final = "Scan the QR code with your Yivi app, or open the app on this device."
_SCAN_NL: Final = "Scan de QR-code met je Yivi-app, of open de app op dit apparaat."

TEXTS: Final = {
    Language.ENGLISH: Texts(
        name="English",
        asks={
            SessionType.DISCLOSING: Words(title="Share your data", text=_SCAN_EN),
            SessionType.SIGNING: Words(title="Sign with Yivi", text=_SCAN_EN),
            SessionType.ISSUING: Words(title="Collect your data", text=_SCAN_EN),
        },
        states={
            PageState.CONNECTED: Words(
                title="Continue in your Yivi app",
                text="Follow the steps in the app. This page moves on by itself.",
            ),
            PageState.IN_APP: Words(
                title="Continue in your Yivi app",
                text="The next step is ready in the app. This page moves on by itself.",
            ),
            PageState.WAITING: Words(
                title="One moment, please",
                text="We are waiting for the organisation you are dealing with."
                " You can leave this page open: it moves on by itself.",
            ),
            PageState.COMPLETED: Words(
                title="All done", text="Everything was completed successfully."
            ),
            PageState.FAILED: Words(
                title="Something went wrong",
                text="This could not be completed. Please start again at the"
                " organisation you are dealing with.",
            ),
            PageState.CANCELLED: Words(
                title="Cancelled",
                text="This was stopped before it was completed. Nothing else happens.",
            ),
            PageState.EXPIRED: Words(
                title="Time is up",
                text="This took too long, so it was closed. Please start again at the"
                " organisation you are dealing with.",
            ),
        },
        step="Step {}",
        qr="QR code for the Yivi app. Is the app on this device? Then use the button"
        " “Open Yivi app”.",
        open_app="Open Yivi app",
        go_on="Continue",
        going_on="You will be taken back in a moment.",
        gone=Words(
            title="This page does not exist",
            text="The link is not right, or it is too old. Please start again at the"
            " organisation you are dealing with.",
        ),
        away=Words(
            title="One moment, please",
            text="This page cannot be shown right now. It tries again by itself.",
        ),
    ),
    Language.DUTCH: Texts(
        name="Nederlands",
        asks={
            SessionType.DISCLOSING: Words(title="Deel je gegevens", text=_SCAN_NL),
            SessionType.SIGNING: Words(title="Onderteken met Yivi", text=_SCAN_NL),
            SessionType.ISSUING: Words(title="Haal je gegevens op", text=_SCAN_NL),
        },
        states={
            PageState.CONNECTED: Words(
                title="Ga verder in je Yivi-app",
                text="Volg de stappen in de app. Hier gaat het daarna vanzelf verder.",
            ),
            PageState.IN_APP: Words(
                title="Ga verder in je Yivi-app",
                text="De volgende stap staat klaar in de app."
                " Hier gaat het daarna vanzelf verder.",
            ),
            PageState.WAITING: Words(
                title="Een ogenblik geduld",
                text="We wachten op de organisatie waarmee je dit regelt."
                " Laat deze pagina gerust openstaan: het gaat vanzelf verder.",
            ),
            PageState.COMPLETED: Words(title="Klaar", text="Alles is gelukt."),
            PageState.FAILED: Words(
                title="Er is iets misgegaan",
                text="Het is niet gelukt om dit af te ronden. Begin opnieuw bij de"
                " organisatie waarmee je dit regelt.",
            ),
            PageState.CANCELLED: Words(
                title="Geannuleerd",
                text="Dit is gestopt voordat het was afgerond. Er gebeurt verder niets.",
            ),
            PageState.EXPIRED: Words(
                title="De tijd is om",
                text="Dit duurde te lang en is daarom afgesloten. Begin opnieuw bij de"
                " organisatie waarmee je dit regelt.",
            ),
        },
        step="Stap {}",
        qr="QR-code voor de Yivi-app. Staat de app op dit apparaat? Gebruik dan de knop"
        " “Open Yivi-app”.",
        open_app="Open Yivi-app",
        go_on="Ga verder",
        going_on="Je gaat zo vanzelf terug.",
        gone=Words(
            title="Deze pagina bestaat niet",
            text="De link klopt niet of is te oud. Begin opnieuw bij de organisatie"
            " waarmee je dit regelt.",
        ),
        away=Words(
            title="Een ogenblik geduld",
            text="Deze pagina kan nu even niet worden getoond. We proberen het zo"
            " vanzelf opnieuw.",
        ),
    ),
}

#: One entry of `Accept-Language` (RFC 9110 §12.5.4): its main language and its weight.
_ACCEPTED: Final = re.compile(
    r"\s*([A-Za-z]{1,8})(?:-[A-Za-z0-9-]{1,32})?\s*(?:;\s*q=([01](?:\.[0-9]{0,3})?)\s*)?"
)
_ACCEPTED_MAX: Final = 32


def language_of(asked: str | None, accepted: str) -> Language:
    """The language asked for in so many words, else the best of those accepted."""
    if asked in set(Language):
        return Language(asked)
    weights: dict[Language, float] = {}
    for entry in accepted.split(",")[:_ACCEPTED_MAX]:
        found = _ACCEPTED.fullmatch(entry)
        if found and found[1].lower() in set(Language):
            weights.setdefault(Language(found[1].lower()), float(found[2] or 1))
    best = max(weights, key=lambda language: weights[language], default=None)
    return best if best and weights[best] > 0 else Language.ENGLISH
