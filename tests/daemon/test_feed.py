"""Fan-out to listeners: bounded, and honest about what was missed."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from daemon.http.feed import MAX_LISTENERS, EventFeed

pytestmark = pytest.mark.unit


async def take(chunks: AsyncIterator[str]) -> str:
    return await asyncio.wait_for(anext(chunks), 5)


def test_a_slow_listener_loses_the_oldest_and_is_told_how_many() -> None:
    async def scenario() -> str:
        feed = EventFeed(capacity=2)
        listener = feed.listen()
        assert listener is not None
        chunks = listener.chunks()
        await take(chunks)
        for number in range(5):
            feed.publish("prediction", str(number), "{}")
        return await take(chunks)

    assert asyncio.run(scenario()) == (
        'event: missed\ndata: {"count": 3}\n\n'
        "event: prediction\nid: 3\ndata: {}\n\n"
        "event: prediction\nid: 4\ndata: {}\n\n"
    )


def test_a_listener_that_waits_is_woken_from_another_thread() -> None:
    async def scenario() -> str:
        feed = EventFeed()
        listener = feed.listen()
        assert listener is not None
        chunks = listener.chunks()
        await take(chunks)
        waiting = asyncio.create_task(take(chunks))
        await asyncio.sleep(0)
        await asyncio.to_thread(feed.publish, "prediction", "1", "{}")
        return await waiting

    assert asyncio.run(scenario()) == "event: prediction\nid: 1\ndata: {}\n\n"


def test_closing_ends_the_stream_after_what_is_queued() -> None:
    async def scenario() -> list[str]:
        feed = EventFeed()
        listener = feed.listen()
        assert listener is not None
        feed.publish("prediction", "1", "{}")
        feed.close()
        assert feed.listen() is None
        return [chunk async for chunk in listener.chunks()]

    assert asyncio.run(scenario()) == [": affectd\n\n", "event: prediction\nid: 1\ndata: {}\n\n"]


def test_there_is_room_for_so_many_listeners_and_again_when_one_leaves() -> None:
    async def scenario() -> None:
        feed = EventFeed()
        listeners = [feed.listen() for _ in range(MAX_LISTENERS)]
        assert None not in listeners
        assert feed.listen() is None
        assert listeners[0] is not None
        feed.leave(listeners[0])
        assert feed.listen() is not None

    asyncio.run(scenario())


def test_publishing_to_a_listener_whose_server_is_gone_does_nothing() -> None:
    feed = EventFeed()

    async def listens() -> None:
        assert feed.listen() is not None

    asyncio.run(listens())
    feed.publish("prediction", "1", "{}")
