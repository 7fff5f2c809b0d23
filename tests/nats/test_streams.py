"""The streams that are wanted, and what of an existing one does not fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

from civitas_nats.jetstream.streams import (
    DUPLICATE_WINDOW,
    differences,
    wanted_dead_letters,
    wanted_stream,
)
from civitas_nats.options import NATSOptions

OPTIONS = NATSOptions(stream_name="S", subject_prefix="a.b", dead_letter_subject="a.dead")


def as_told(config: StreamConfig, **changes: Any) -> StreamConfig:
    """Return what a server reports of such a stream: words, and no field left out."""
    told = {
        "retention": RetentionPolicy(config.retention).value,
        "discard": DiscardPolicy(config.discard).value,
        "storage": StorageType(config.storage).value,
        "max_bytes": config.max_bytes or -1,
        "max_age": config.max_age or 0.0,
        "max_msgs_per_subject": config.max_msgs_per_subject or -1,
        "num_replicas": config.num_replicas or 1,
        "no_ack": False,
    }
    return replace(config, **{**told, **changes})


def test_messages_are_kept_until_they_are_acknowledged_and_a_full_stream_refuses():
    wanted = wanted_stream(OPTIONS)
    assert (wanted.name, wanted.subjects) == ("S", ["a.b.*"])
    assert wanted.retention is RetentionPolicy.WORK_QUEUE
    assert wanted.discard is DiscardPolicy.NEW
    assert wanted.storage is StorageType.FILE
    assert (wanted.max_age, wanted.max_msgs_per_subject, wanted.no_ack) == (0, -1, False)


def test_dead_letters_stay_whoever_reads_them():
    wanted = wanted_dead_letters(OPTIONS)
    assert (wanted.name, wanted.subjects) == ("S_DEAD", ["a.dead.*"])
    assert wanted.retention is RetentionPolicy.LIMITS
    assert wanted.discard is DiscardPolicy.NEW
    assert wanted.storage is StorageType.FILE


@pytest.mark.parametrize("make", [wanted_stream, wanted_dead_letters])
def test_an_id_is_known_for_longer_than_a_message_can_be_sent_again(make):
    longest = NATSOptions.model_fields["send_timeout"].metadata[1].le
    assert make(OPTIONS).duplicate_window == DUPLICATE_WINDOW > longest


def test_size_and_replicas_are_those_of_the_options_and_dead_letters_have_no_limit():
    options = OPTIONS.model_copy(update={"max_bytes": 2048, "replicas": 3})
    assert (wanted_stream(options).max_bytes, wanted_stream(options).num_replicas) == (2048, 3)
    dead = wanted_dead_letters(options)
    assert (dead.max_bytes, dead.num_replicas) == (None, 3)


@pytest.mark.parametrize("make", [wanted_stream, wanted_dead_letters])
def test_a_stream_as_it_was_made_fits(make):
    assert differences(make(OPTIONS), as_told(make(OPTIONS)), 100.0) == []


SIZED = OPTIONS.model_copy(update={"max_bytes": 2048, "replicas": 3})


@pytest.mark.parametrize(
    ("options", "found", "told"),
    [
        (OPTIONS, {"subjects": ["a.c.*"]}, "subjects is a.c.*, not a.b.*"),
        (OPTIONS, {"subjects": ["a.b.*", "x"]}, "subjects is a.b.*, x, not a.b.*"),
        (OPTIONS, {"subjects": None}, "subjects is None, not a.b.*"),
        (OPTIONS, {"retention": "limits"}, "retention is limits, not workqueue"),
        (OPTIONS, {"retention": "interest"}, "retention is interest, not workqueue"),
        (OPTIONS, {"discard": "old"}, "discard is old, not new"),
        (OPTIONS, {"storage": "memory"}, "storage is memory, not file"),
        (OPTIONS, {"max_age": 60.0}, "max_age is 60, not 0"),
        (OPTIONS, {"max_msgs_per_subject": 5}, "max_msgs_per_subject is 5, not -1"),
        (OPTIONS, {"no_ack": True}, "no_ack is true, not false"),
        (SIZED, {"num_replicas": 1}, "num_replicas is 1, not 3"),
        (SIZED, {"max_bytes": -1}, "max_bytes is -1, not 2048"),
        (
            OPTIONS,
            {"duplicate_window": 10.0},
            "duplicate_window is 10 s, less than send_timeout (15 s)",
        ),
    ],
)
def test_what_would_lose_messages_or_contradict_an_option_is_told(options, found, told):
    wanted = wanted_stream(options)
    assert differences(wanted, as_told(wanted, **found), 15.0) == [told]


@pytest.mark.parametrize(
    "found",
    [
        {"max_bytes": 5120},
        {"num_replicas": 5},
        {"max_msgs": 100},
        {"max_msg_size": 2000},
        {"description": "ours"},
        {"duplicate_window": 15.0},
        {"metadata": {"owner": "ops"}},
    ],
)
def test_what_the_options_leave_open_may_be_anything(found):
    wanted = wanted_stream(OPTIONS)
    assert differences(wanted, as_told(wanted, **found), 15.0) == []


def test_dead_letters_may_be_kept_for_a_time_only():
    wanted = wanted_dead_letters(OPTIONS)
    assert differences(wanted, as_told(wanted, max_age=3600.0, max_bytes=10**9), 15.0) == []
    told = differences(wanted, as_told(wanted, retention="workqueue", discard="old"), 15.0)
    assert told == ["retention is workqueue, not limits", "discard is old, not new"]
