"""Each wrong dead-letter store fails the test of the kit that is about its fault."""

from __future__ import annotations

import pytest

from conformance.test_mutants import home_of, run_kit

pytestmark = pytest.mark.mutants

LISTED = "test_a_dead_letter_is_listed_with_what_is_known_of_it"
CHOSEN = "test_dead_letters_are_chosen_by_agent_and_number"
REMOVED = "test_a_removed_dead_letter_is_gone"
RETURNED = "test_a_returned_dead_letter_is_handled"
COUNTED = "test_what_waits_for_nobody_is_counted_and_stays"
MOVED = "test_what_waits_is_moved_to_another_agent_in_order"
NOT_GIVEN = "test_a_removed_waiting_message_is_not_given"
STOPS = "test_a_store_stops_in_any_state"
OUTAGE = "test_an_outage_leaves_no_letter_behind"

CAUGHT = {
    # the mutant: (the test that must catch it, what that test says)
    "GivesUpWithoutKeeping": (LISTED, "1 dead letter is there, and 0 are listed"),
    "KeepsTheFrameAlone": (LISTED, "it has no reason"),
    "ForgetsWhen": (LISTED, "its time is 0.0"),
    "TakesWhatItReads": (LISTED, "1 dead letter is there, and 0 are listed"),
    "BeginsWithTheNewest": (CHOSEN, "not in the order in which they were given up"),
    "MatchesNamesLoosely": (CHOSEN, "of 'cook': "),
    "HasNoEnd": (CHOSEN, "not those up to a number"),
    "CountsAllTogether": (CHOSEN, "counted: "),
    "CountsWhatHasAReader": (COUNTED, "counted: "),
    "ComplainsOfWhatIsGone": (REMOVED, "may not be there any more raised LookupError"),
    "RemovesTheFirst": (REMOVED, "another one was removed"),
    "MarksOnly": (NOT_GIVEN, "it was given all the same"),
    "CountsOn": (RETURNED, "as if never delivered"),
    "PublishesToWhoListens": (RETURNED, "2 frames at 'worker', where 0 came"),
    "PutsItInFront": (MOVED, "not all, or not in their order"),
    "KeepsTheFormerName": (MOVED, "messages are still there"),
    "NeedsAStartToStop": (STOPS, "stop() before start() raised RuntimeError"),
    "WorksAfterItsEnd": (STOPS, "expected TransportError, but nothing was raised"),
    "ConfirmsInAnOutage": (OUTAGE, "expected CivitasError, but nothing was raised"),
    "RemovesLater": (OUTAGE, "expected CivitasError, but nothing was raised"),
}

RIGHT = ("RightStore", "RightInAnOutage")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    nodes = [f"{home_of(name)}::{test}" for name, (test, _) in CAUGHT.items()]
    return run_kit(tmp_path_factory.mktemp("named"), *nodes)


@pytest.mark.parametrize("mutant", CAUGHT)
def test_a_store_is_caught_by_the_test_about_its_fault(found, mutant):
    test, text = CAUGHT[mutant]
    message = found[mutant][test]
    assert message is not None, f"{test} passes with {mutant}"
    assert message.startswith("AssertionError: ")
    assert text in message


def test_right_stores_pass_all_of_it(tmp_path):
    tests = {test for test, _ in CAUGHT.values()}
    nodes = [f"{home_of('RightInAnOutage')}::{test}" for test in tests]
    nodes += [f"{home_of('RightStore')}::{test}" for test in tests - {OUTAGE}]
    outcomes = run_kit(tmp_path, *nodes)
    assert outcomes.keys() == set(RIGHT)
    assert {problem for each in outcomes.values() for problem in each.values()} == {None}
