"""The words of the chain page."""

from __future__ import annotations

from dataclasses import astuple

import pytest

from orchestrator.gateway.page_texts import TEXTS, Language, language_of
from schemas.chain_page import PageState
from schemas.irma import SessionType


@pytest.mark.parametrize(
    "asked,accepted,language",
    [
        (None, "", "en"),
        (None, "nl", "nl"),
        (None, "nl-NL,nl;q=0.9,en-US;q=0.8,en;q=0.7", "nl"),
        (None, "en-GB;q=0.8, NL-be;q=0.9", "nl"),
        (None, "de-DE, fr;q=0.9, nl;q=0.2", "nl"),
        (None, "de, fr", "en"),
        (None, "nl;q=0", "en"),
        (None, "nl;q=2, en;q=x", "en"),
        (None, "*", "en"),
        ("nl", "en", "nl"),
        ("en", "nl", "en"),
        ("de", "nl", "nl"),
        ("<script>", "", "en"),
    ],
)
def test_the_language_is_the_users(
    asked: str | None, accepted: str, language: str
) -> None:
    """What is asked for in so many words, else the best accepted, else English."""
    assert language_of(asked, accepted) is Language(language)


def test_a_header_without_end_is_not_read_to_its_end() -> None:
    """Only so many languages are looked at (G8)."""
    assert language_of(None, "de," * 100_000 + "nl") is Language.ENGLISH


@pytest.mark.parametrize("language", list(Language))
def test_there_are_words_for_every_state(language: Language) -> None:
    """Each state of each kind of session has a heading and a text of its own language."""
    texts = TEXTS[language]
    others = [TEXTS[other] for other in Language if other is not language]
    for state in PageState:
        for session_type in SessionType:
            words = texts.words(state, session_type)
            assert all(astuple(words)), state
            assert all(words != other.words(state, session_type) for other in others)
    assert texts.step.format(3).endswith(" 3")
