"""Follows a requestor's events by server-sent events, with aiohttp; misses none.

EVENTS_URL=https://chains.example/events TOKEN=... python follow_events.py last-id

The id of what was handled last is kept in the file last-id. Without it, all events there
are come first; write the id of an event into it to begin behind that one.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

import aiohttp

#: A lost connection is tried again after this long.
PAUSE_S = 1.0
#: What asking again would not mend: an id or a credential that is wrong, no such chain.
REFUSED = {400, 401, 404}
#: Of a chain that is over, all was told.
NO_MORE = 204
#: A sign of life comes every 15 s; who hears nothing for longer has lost the connection.
SILENCE_S = 45.0


def last_kept(kept: Path) -> str:
    """The id of what was handled last."""
    return kept.read_text().strip() if kept.exists() else "start"


def keep(kept: Path, event_id: str) -> None:
    """Note how far we are; where this is lost, the event comes again."""
    kept.write_text(event_id)


async def handle(event: dict[str, object]) -> None:
    """What is to be done about an event."""
    print(json.dumps(event), flush=True)


async def follow(url: str, token: str, kept: Path) -> bool:
    """Read until the connection is lost; whether there is more to come."""
    last_id = last_kept(kept)
    headers = {"Authorization": token, "Last-Event-ID": last_id}
    timeout = aiohttp.ClientTimeout(total=None, sock_read=SILENCE_S)
    async with (
        # An event is one line; the longest has some hundred names of attributes.
        aiohttp.ClientSession(timeout=timeout, read_bufsize=2**20) as http,
        http.get(url, headers=headers) as response,
    ):
        if response.status in REFUSED:
            sys.exit(f"{response.status}: {await response.text()}")
        if response.status == NO_MORE:
            return False
        response.raise_for_status()
        print("subscribed", file=sys.stderr, flush=True)
        async for line in response.content:
            field, _, text = line.decode().rstrip("\n").partition(": ")
            if field == "id":
                last_id = text
            elif field == "data":
                await handle(json.loads(text))
                keep(kept, last_id)
            elif not line.strip():  # a frame may have an id only: types were left out
                keep(kept, last_id)
    return True


async def main() -> None:
    """Connect again and again, until there is no more to come."""
    url, token = os.environ["EVENTS_URL"], os.environ["TOKEN"]
    more = True
    while more:
        try:
            more = await follow(url, token, Path(sys.argv[1]))
        except (aiohttp.ClientError, TimeoutError) as error:
            print(f"lost: {type(error).__name__}", file=sys.stderr, flush=True)
        await asyncio.sleep(PAUSE_S)


if __name__ == "__main__":
    asyncio.run(main())
