"""LocalRegistry: names, addresses, patterns."""

from __future__ import annotations

import pytest

from civitas.errors import ConfigurationError
from civitas.registry import LocalRegistry


def registry(*names: str) -> LocalRegistry:
    made = LocalRegistry()
    for name in names:
        made.register(name)
    return made


def test_an_agents_address_is_its_name() -> None:
    entry = registry("a").lookup("a")
    assert entry is not None
    assert (entry.name, entry.address, entry.is_local) == ("a", "a", True)


def test_an_agent_elsewhere_has_the_address_that_it_was_registered_with() -> None:
    made = LocalRegistry()
    made.register("a", "there", is_local=False)
    entry = made.lookup("a")
    assert entry is not None
    assert (entry.name, entry.address, entry.is_local) == ("a", "there", False)


def test_what_was_deregistered_is_gone_and_the_name_is_free_again() -> None:
    made = registry("a")
    made.deregister("a")
    made.deregister("a")
    assert made.lookup("a") is None
    assert not made.has("a")
    made.register("a")


def test_a_name_is_registered_once() -> None:
    with pytest.raises(ConfigurationError, match="already an agent called 'a'"):
        registry("a", "a")


def test_what_can_not_be_an_address_is_refused_with_the_reason() -> None:
    with pytest.raises(ConfigurationError, match="'a/b'.*can't contain '/'"):
        registry("a/b")


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("worker_*", ["worker_1", "worker_2"]),
        ("*", ["lead", "worker_1", "worker_2", "Worker_3"]),
        ("worker_?", ["worker_1", "worker_2"]),
        ("[lL]ead", ["lead"]),
        ("nobody*", []),
    ],
)
def test_patterns_are_those_of_the_shell_and_mind_the_case(pattern: str, names: list[str]) -> None:
    made = registry("lead", "worker_1", "worker_2", "Worker_3")
    assert [entry.name for entry in made.lookup_all(pattern)] == names
    assert made.all_names() == ["lead", "worker_1", "worker_2", "Worker_3"]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("workers.*", ["workers.eu.1", "workers.us.1"]),
        ("workers.eu.*", ["workers.eu.1"]),
        ("*.1", ["workers.eu.1", "workers.us.1"]),
        ("workers.?u.1", ["workers.eu.1"]),
        ("workers", ["workers"]),
    ],
)
def test_a_dot_in_a_pattern_is_a_dot_and_a_star_goes_over_it(
    pattern: str, names: list[str]
) -> None:
    made = registry("workers.eu.1", "workers.us.1", "workers", "workers_eu_1")
    assert [entry.name for entry in made.lookup_all(pattern)] == names


def test_a_similar_name_is_found_for_the_message() -> None:
    assert registry("researcher", "writer").similar("reseacher") == "researcher"
    assert registry("researcher").similar("xyz") is None
