"""Viewers who come back with their cursor in; exactly what they missed, on real sockets, out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipeline.settings import Settings
from tests.pipeline.web.alert_log import AlertLog, alert_log, event, long_ago, resolved
from tests.pipeline.web.conftest import Site, Socket, running

Seen = list[tuple[str, int]]
DEVICES = ("greenhouse-7", "hall/1", "barn", "lab-2", "roof")  # in several partitions


def events(name: str, number: int) -> list[dict[str, Any]]:
    return [
        event(f"{name}{n}", device_id=DEVICES[n % len(DEVICES)], note=f"{name}{n}")
        for n in range(number)
    ]


def ids(told: list[dict[str, Any]]) -> set[tuple[str, int]]:
    return {(one["alert_id"], one["seq"]) for one in told}


async def take(viewer: Socket, number: int) -> tuple[list[dict[str, Any]], str]:
    """So many events, and the cursor of the last."""
    told = [await viewer.next() for _ in range(number)]
    return told, told[-1]["cursor"]


async def test_who_comes_back_gets_exactly_what_it_missed_each_with_its_cursor(
    log: AlertLog, site: Site
) -> None:
    async with site.viewer() as viewer:
        await log.tell(*events("seen", 5))
        _, cursor = await take(viewer, 5)
    missed = [*events("missed", 7), resolved("seen0")]
    await log.tell(*missed)
    async with site.viewer() as other:  # not there, as the one that comes back will be
        await log.tell(event("last"))
        while (await other.event()) != ("last", 1):
            pass
    async with site.viewer(f"?cursor={cursor}") as back:
        assert (back.welcome["recovered"], back.welcome["cursor"]) == (True, cursor)
        assert back.welcome["backlog"] == 0
        told, at = await take(back, 9)
        assert ids(told) == ids([*missed, event("last")])
        assert not any("backlog" in one for one in told)
        for one in told:
            one.pop("cursor")
            assert one in [*missed, event("last")]
        await log.tell(event("live"))
        assert await back.event() == ("live", 1)
    async with site.viewer(f"?cursor={at}") as again:
        assert again.welcome["recovered"] is True
        assert await again.event() == ("live", 1)


async def test_who_is_cut_off_while_it_is_told_what_it_missed_goes_on_from_there(
    log: AlertLog, site: Site
) -> None:
    async with site.viewer() as viewer:
        cursor = viewer.welcome["cursor"]
        await log.tell(*events("a", 12))
        await take(viewer, 12)
    seen: set[tuple[str, int]] = set()
    for _ in range(4):
        async with site.viewer(f"?cursor={cursor}") as back:
            assert back.welcome["recovered"] is True
            told, cursor = await take(back, 3)
        assert not ids(told) & seen
        seen |= ids(told)
    assert seen == ids(events("a", 12))


async def test_a_cursor_holds_across_a_restart_of_the_relay(
    log: AlertLog, settings: Settings
) -> None:
    async with running(settings) as site:
        await site.until_ready()
        async with site.viewer() as viewer:
            await log.tell(*events("seen", 5))
            _, cursor = await take(viewer, 5)
            await log.tell(*events("before", 6))
    await log.tell(*events("between", 6), resolved("seen1", device_id=DEVICES[1]))
    async with running(settings) as site:
        await site.until_ready()
        async with site.viewer(f"?cursor={cursor}") as back:
            assert back.welcome["recovered"] is True
            told, _ = await take(back, 13)
            assert ids(told) == {
                *ids(events("before", 6)),
                *ids(events("between", 6)),
                ("seen1", 2),
            }
            await log.tell(event("live"))
            assert await back.event() == ("live", 1)


async def test_a_cursor_holds_at_another_web_view(log: AlertLog, settings: Settings) -> None:
    async with running(settings) as one, running(settings) as other:
        await one.until_ready()
        await other.until_ready()
        async with one.viewer() as viewer, other.viewer() as elsewhere:
            cursor, everything = viewer.welcome["cursor"], ids(events("a", 20))
            await log.tell(*events("a", 20))
            told, at = await take(viewer, 20)
            there, _ = await take(elsewhere, 20)
            assert ids(told) == ids(there) == everything
        async with other.viewer(f"?cursor={cursor}") as back:
            assert back.welcome["recovered"] is True
            assert ids((await take(back, 20))[0]) == everything
        # in the middle: what the other hadn't told yet is what the one had
        async with other.viewer(f"?cursor={told[9]['cursor']}") as back:
            rest, _ = await take(back, 10)
            assert ids(rest) == everything - ids(told[:10])
        async with other.viewer(f"?cursor={at}") as back:
            assert back.welcome["recovered"] is True
            await log.tell(event("live"))
            assert await back.event() == ("live", 1)


async def test_an_event_that_the_log_gets_after_the_start_is_not_lost_though_it_was_open_before(
    log: AlertLog, settings: Settings
) -> None:
    async with running(settings) as site:
        await site.until_ready()
        async with site.viewer() as viewer:
            await log.tell(event("seen"))
            _, cursor = await take(viewer, 1)
    await log.to_open(event())  # here `alerts-open` is ahead of `alerts`
    async with running(settings) as site:
        await site.until_ready()
        await site.until_open("seen", "a1")
        async with site.viewer(f"?cursor={cursor}") as back, site.viewer() as fresh:
            assert back.welcome["recovered"] is True
            assert {await fresh.event() for _ in range(2)} == {("a1", 1), ("seen", 1)}
            await log.to_alerts(event())
            await log.to_alerts(event(seq=2))
            assert [await back.event() for _ in range(2)] == [("a1", 1), ("a1", 2)]
            assert await fresh.event() == ("a1", 2)  # it had the first with its backlog


async def test_what_was_missed_is_filtered_as_what_is_live(log: AlertLog, site: Site) -> None:
    async with site.viewer() as viewer:
        cursor = viewer.welcome["cursor"]
        await log.tell(
            event("cold", rule="temperature-low", severity="warning"),
            event("hot"),
            event("hidden", suppressed_by="cold"),
            event("other", device_id="hall/1"),
            event("end"),
        )
        while (await viewer.event()) != ("end", 1):
            pass
    for query, expected in {
        "device=green*&rule=*-high": ["hot", "end"],
        "severity=warning": ["cold"],
        "suppressed=1&device=green*": ["cold", "hot", "hidden", "end"],
    }.items():
        async with site.viewer(f"?cursor={cursor}&{query}") as back:
            assert back.welcome["recovered"] is True
            assert [(await back.event())[0] for _ in expected] == expected


@pytest.mark.parametrize(
    "cursor", ["", "whatever", "W10", "WyJvdGhlci9hbGVydHMiLFswLDAsMF1d", "W1siYSJdLDFd"]
)
async def test_a_cursor_that_proves_nothing_brings_the_open_alerts(
    log: AlertLog, site: Site, cursor: str
) -> None:
    await log.tell(event())
    await site.until_open("a1")
    async with site.viewer(f"?cursor={cursor}") as back:
        assert (back.welcome["recovered"], back.welcome["backlog"]) == (False, 1)
        assert (await back.next())["backlog"] is True


async def test_more_than_is_kept_was_missed_so_the_open_alerts_are_told(
    log: AlertLog, settings: Settings
) -> None:
    async with running(replace(settings, recovery_events=5)) as site:
        await site.until_ready()
        async with site.viewer() as viewer:
            cursor = viewer.welcome["cursor"]
            await log.tell(*(event("a1", seq=seq) for seq in range(1, 7)))
            _, late = await take(viewer, 2)
            await take(viewer, 4)
        async with site.viewer(f"?cursor={cursor}") as back:
            assert back.welcome["recovered"] is False
            assert await back.event() == ("a1", 6)
        async with site.viewer(f"?cursor={late}") as back:
            assert back.welcome["recovered"] is True
            assert [await back.event() for _ in range(4)] == [("a1", n) for n in (3, 4, 5, 6)]


async def test_what_is_older_than_is_kept_is_not_proven_after_a_restart_and_nothing_missed_is(
    log: AlertLog, settings: Settings
) -> None:
    async with running(settings) as site:
        await site.until_ready()
        async with site.viewer() as viewer:
            before = viewer.welcome["cursor"]
            await log.to_alerts(event(), at=long_ago())
            _, after = await take(viewer, 1)
    async with running(settings) as site:
        await site.until_ready()
        async with site.viewer(f"?cursor={before}") as back:
            assert back.welcome["recovered"] is False
        async with site.viewer(f"?cursor={after}") as back:
            assert back.welcome["recovered"] is True


async def test_partitions_that_were_added_since_are_told_from_their_start(
    log: AlertLog, settings: Settings, prefix: str
) -> None:
    async with running(settings) as site:
        await site.until_ready()
        async with site.viewer() as viewer:
            await log.tell(event("seen"))
            _, cursor = await take(viewer, 1)
    await log.grow(9)
    async with alert_log(log.bootstrap, prefix) as grown:  # it knows all partitions
        for n in range(30):
            await grown.to_alerts(event(f"{n}", device_id=f"{n}"))
    async with running(settings) as site:
        await site.until_ready()
        async with site.viewer(f"?cursor={cursor}") as back:
            assert back.welcome["recovered"] is True
            assert ids((await take(back, 30))[0]) == {(f"{n}", 1) for n in range(30)}


async def test_of_a_log_that_was_created_anew_meanwhile_a_cursor_proves_nothing(
    log: AlertLog, settings: Settings
) -> None:
    async with running(settings) as site:
        await site.until_ready()
        async with site.viewer() as viewer:
            await log.tell(*events("old", 5))
            _, cursor = await take(viewer, 5)
    await log.delete()
    await log.create()
    await log.tell(*events("new", 15))  # more in each partition than the old one had
    async with running(settings) as site:
        await site.until_ready()
        async with site.viewer(f"?cursor={cursor}") as back:
            assert (back.welcome["recovered"], back.welcome["backlog"]) == (False, 15)
