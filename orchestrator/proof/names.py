"""What the command line may choose; without the weight of what it names."""

from __future__ import annotations

from enum import StrEnum


class Databases(StrEnum):
    """What an installation may keep its rows in."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


class DeliveryPart(StrEnum):
    """The parts of the proof of delivery, in their order."""

    ANSWERS = "answers"
    HANGING = "hanging"
    LATENESS = "lateness"
    OUTAGE = "outage"


class ReplayWay(StrEnum):
    """The ways to a replay."""

    COMMAND = "command"
    HTTP = "http"


class ReplayPart(StrEnum):
    """The parts of the proof of replays, in their order."""

    OUTAGE = "outage"
    MILLION = "million"
    CANCEL = "cancel"
