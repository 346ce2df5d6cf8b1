"""How a request to the pretend server can fail.

Refused        the caller gets an IRMA error
LostUpdate     another request changed the session first: 500
PostFailed     a POST of ours to an endpoint got no answer
"""

from schemas.irma import ErrorKind, IrmaError, irma_error


class Refused(Exception):
    """The request is answered with an IRMA error."""

    def __init__(self, kind: ErrorKind, message: str = "") -> None:
        super().__init__(kind.error)
        self.error: IrmaError = irma_error(kind, message)
        self.http_status = kind.http_status


class LostUpdate(Exception):
    """Another writer got in between; this one's change is lost (irma.md §4.3)."""


class PostFailed(Exception):
    """An endpoint gave no answer at all."""

    def __init__(self, description: str) -> None:
        super().__init__("no answer")
        #: Upstream's own words, which name the URL; for the app's eyes only.
        self.description = description
