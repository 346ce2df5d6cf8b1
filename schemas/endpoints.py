"""What workers tell each other of endpoints, over a fanout exchange (DESIGN §4).

A message that is lost does no harm: everybody reads the table again now and then.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.events import explain


class NewsInvalid(ValueError):
    """Bytes that are no news of an endpoint; the text names the fields and reasons."""


class EndpointNews(BaseModel):
    """How an endpoint stands now; of two news the one with the higher version counts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: str
    version: Annotated[int, Field(ge=0)]
    state: Literal["closed", "open", "half_open"]
    paused: bool


def parse_news(body: bytes) -> EndpointNews:
    """Read one message.

    Raises:
        NewsInvalid: naming each field that is wrong and why.
    """
    try:
        return EndpointNews.model_validate_json(body)
    except ValidationError as error:
        raise NewsInvalid(explain(error)) from None


def dump_news(news: EndpointNews) -> bytes:
    """The message as JSON."""
    return news.model_dump_json().encode()
