"""Settings in; Kafka's topics out, created where they are missing, and told where they differ."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import click
from aiokafka.errors import KafkaError

from pipeline.cli import Refusal
from pipeline.names import Names
from pipeline.settings import Settings, from_environment
from pipeline.topics import Review, UnusableBroker, review_topics


@click.command()
@click.option("--look", is_flag=True, help="Create nothing, tell what is missing instead.")
@click.option("--bootstrap", help="Kafka's addresses; else SMART_IOT_BOOTSTRAP.")
def topics(look: bool, bootstrap: str | None) -> None:
    """Create the topics that are missing; exit code 1 if any isn't as it should be.

    What exists is never changed, so it is safe to repeat.
    """
    settings = from_environment()
    if bootstrap:
        settings = replace(settings, bootstrap=bootstrap)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what fails is said once, by us
    reviews = asyncio.run(_reviewed(settings, create=not look))
    for review in reviews:
        for line in _said(review):
            click.echo(line)
    if any(review.faults for review in reviews):
        raise SystemExit(1)


async def _reviewed(settings: Settings, *, create: bool) -> list[Review]:
    try:
        return await review_topics(settings, Names(settings.topic_prefix), create=create)
    except UnusableBroker as error:
        raise Refusal(str(error)) from None
    except (KafkaError, OSError) as error:
        raise Refusal(f"Kafka can't be reached at {settings.bootstrap}: {error}") from None


def _said(review: Review) -> list[str]:
    if review.faults:
        return [f"{review.topic} {fault}" for fault in review.faults]
    state = "created" if review.created else "as it should be"
    return [f"{review.topic}: {state}, {review.partitions} partitions"]
