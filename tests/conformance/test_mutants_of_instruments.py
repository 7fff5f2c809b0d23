"""Each wrong instrument fails the test of the kit that is about its fault, and no other."""

from __future__ import annotations

import pytest

from civitas.testing import InstrumentConformance
from conformance.test_mutants import MUTANTS, run_kit

pytestmark = pytest.mark.mutants

CAUGHT = {
    # the mutant: (the test that must catch it, what that test says)
    "IsMisspelled": ("test_it_has_methods_of_an_instrument", "it has on_crashed, which nothing"),
    "ConnectsWhenItIsMade": ("test_to_make_one_begins_nothing", "it opened file descriptors"),
    "LeavesItsThread": ("test_a_stop_gives_everything_back", "threads left after stop"),
    "NeedsItsStart": (
        "test_a_stop_without_a_start_does_no_harm",
        "stop raised AttributeError",
    ),
    "EndsOnlyOnce": ("test_a_second_stop_does_no_harm", "stop raised RuntimeError: it has ended"),
    "TakesBytesForAMessage": (
        "test_it_raises_for_nothing_that_happens",
        "dead_letter raised AttributeError",
    ),
    "KnowsOnlyExceptions": (
        "test_it_raises_for_nothing_that_happens",
        "__exit__ raised TypeError: a CancelledError is no error",
    ),
    "FormatsATypeIntoAnother": ("test_odd_texts_are_taken", "sending raised UnicodeEncodeError"),
    "RaisesThePriority": ("test_the_message_stays_as_it_is", "sending changed priority"),
    "ClearsTheSpan": ("test_the_message_stays_as_it_is", "handling changed span_id"),
    "HasOneForAll": ("test_executions_overlap", "two executions have one context manager"),
    "SetsAndForgets": ("test_the_context_is_left_as_it_was", "with another value: ['current']"),
    "SetsWithoutAReset": ("test_the_context_is_left_as_it_was", "with another value: ['current']"),
    "WritesAtOnce": ("test_it_holds_nothing_up", "a message costs"),
    "KeepsAnEntryForEachMessage": ("test_what_it_keeps_has_a_limit", "1,000 messages left"),
    "IsOneForTheWholeProcess": (
        "test_two_nodes_have_one_each",
        "start raised RuntimeError: it runs already",
    ),
    "NeedsANode": (
        "test_a_node_does_with_it_what_it_does_without",
        "methods raised in a node: {'NeedsANode': {'crashed': 1}}",
    ),
}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return run_kit(tmp_path_factory.mktemp("all"), str(MUTANTS / "of_instruments.py"))


@pytest.mark.parametrize("mutant", CAUGHT)
def test_a_wrong_instrument_fails_the_test_about_its_fault_and_no_other(found, mutant):
    test, text = CAUGHT[mutant]
    failed = {name: told for name, told in found[mutant].items() if told is not None}
    assert list(failed) == [test], failed
    assert failed[test].startswith("AssertionError: ")
    assert text in failed[test]


def test_a_right_instrument_fails_none(found):
    assert set(found["RightInstrument"]) == set(InstrumentConformance.standard)
    assert [each for each in found["RightInstrument"].values() if each is not None] == []


def test_each_test_of_the_kit_catches_a_mutant():
    assert {test for test, _ in CAUGHT.values()} == set(InstrumentConformance.standard)
