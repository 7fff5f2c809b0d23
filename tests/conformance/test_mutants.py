"""The kit is worth something: each wrong transport fails the test that is about its fault."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from conformance.caught_at_home import CAUGHT_AT_HOME
from conformance.caught_in_outages import CAUGHT_IN_OUTAGES

MUTANTS = Path(__file__).with_name("mutants")

CAUGHT = CAUGHT_AT_HOME | CAUGHT_IN_OUTAGES

WHOLE = {
    # the mutant, run against the whole kit: all that it fails
    "LetsASecondOwnerIn": {"test_an_agents_address_has_one_owner"},
    "IsSilentAfterStop": {"test_after_stop_nothing_is_sent"},
    "KeepsExpiredRequests": {
        "test_a_timeout_leaves_nothing_of_the_request",
        "test_a_cancelled_request_leaves_nothing",
    },
    "OwnReplies": set(),
    "RightLedger": {"test_another_process_answers"},
    "RightAfterAnOutage": {"test_another_process_answers"},
    "RightBetweenNodes": {"test_another_process_answers"},
    "LosesWhatIsForNobody": {
        "test_a_frame_for_nobody_is_kept",
        "test_what_waits_is_counted",
        "test_another_process_answers",
        "test_what_was_kept_is_given_though_its_sender_is_fenced",
    },
}


APART = {"test_another_process_answers"}
"""What an object that stands for a process fails, however right it is."""

EXACT: dict[str, set[str]] = {
    # the mutant, run against the whole kit: all that it fails besides the test named above
    "SharesOutBeyondThirty": {
        "test_requests_and_publishes_keep_their_order",
        "test_a_backlog_behind_a_slow_handler_is_kept",
    },
    "SendsLargeOnesApart": set(),
    "LetsRequestsOvertake": set(),
    "KeepsTwoWindows": APART,
    "WedgesWhenCancelled": set(),
    "SendsHalfWhenCancelled": set(),
    "LosesItsNeighbourWhenCancelled": set(),
    "CutsLargeAnswers": {"test_large_answers_in_flight_together_all_arrive"},
    "CutsLargeSystemFrames": set(),
    "LosesLargeAnswersInFlight": set(),
    "CutsLongNames": set(),
    "StaysSubscribed": APART,
    "SubscribesAgainBesides": APART,
    "AnswersAnotherNodeNowAndThen": APART,
    "LosesOneInFiftyAfterAReconnect": {
        *APART,
        "test_a_subscription_made_in_an_outage_holds",
        "test_a_thousand_addresses_survive_an_outage",
    },
    "ConnectsAgainOnlyOnce": {*APART, "test_connecting_again_leaves_nothing_behind"},
    "TellsOnlyTheFirstOutage": {*APART, "test_connecting_again_leaves_nothing_behind"},
    "ForgetsWhatIsSubscribedInAnOutage": APART,
    "SubscribesAgainWhatWasLeft": APART,
    "LeavesADescriptorBehind": APART,
    "LeavesATaskBehind": APART,
    "ConnectsWithoutAPause": APART,
    "SpinsWithoutItsBroker": APART,
    "SubscribesFiveHundredAgain": APART,
    "CallsItUnsent": APART,
    "CallsSilenceUnsent": APART,
    "TellsNoDeadLetter": APART,
    "TellsDeadLettersTwice": APART,
    "DeletesDeadLetters": APART,
    "KeepsDeadLettersTwice": APART,
    "GivesAgainAtOnce": APART,
    "CountsAnOrderlyStop": APART,
    "RefusesWhatWasKept": APART,
    "RightAtADoor": APART,
    "SaysItsPassword": {*APART, "test_an_outage_tells_no_password"},
    "KeepsItsPasswordInACause": {*APART, "test_an_outage_tells_no_password"},
    "LogsItsPassword": {*APART, "test_an_outage_tells_no_password"},
    "SaysItsPasswordInAnOutage": APART,
    "CallsARefusalFine": APART,
    "TakesARefusalForAnOutage": APART,
    "CarriesSets": set(),
    "LetsSetsThrough": set(),
    "LetsCyclesThrough": {"test_what_is_nested_too_deep_is_refused"},
    "LetsDepthOut": set(),
    "MakesRoomForWhatIsClaimed": set(),
    "SaysItCarriesSets": set(),
}


def run_kit(tmp_path: Path, *nodes: str, patience: float = 0.5) -> dict[str, dict[str, str | None]]:
    """Run tests in a pytest of their own; return, by class and test, None or the failure's text."""
    report = tmp_path / "report.xml"
    options = ["-q", "-p", "no:cacheprovider", "--noconftest", "-c", tmp_path / "none.ini"]
    (tmp_path / "none.ini").write_text("[pytest]\n")
    subprocess.run(
        [sys.executable, "-m", "pytest", *options, f"--junitxml={report}", *nodes],
        env={**os.environ, "PYTHONPATH": str(MUTANTS.parents[1]), "PATIENCE": str(patience)},
        check=False,
        capture_output=True,
        timeout=100,
    )
    found: dict[str, dict[str, str | None]] = {}
    for case in ET.parse(report).iter("testcase"):
        problems = (each for each in case if each.tag in ("failure", "error"))
        problem = next((each.get("message", "") for each in problems), None)
        subject = case.attrib["classname"].rpartition(".Test")[2]
        found.setdefault(subject, {})[case.attrib["name"]] = problem
    return found


def file_of(mutant: str) -> Path:
    """Return the file that a mutant is in."""
    definition = re.compile(rf"^class {mutant}\b", re.MULTILINE)
    return next(
        each for each in sorted(MUTANTS.glob("*.py")) if definition.search(each.read_text())
    )


def home_of(mutant: str) -> str:
    """Return the node id of a mutant's test class."""
    return f"{file_of(mutant)}::Test{mutant}"


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """Each mutant against the one test that is named for it, those of one file in one run."""

    @functools.cache
    def outcomes_of(file: Path) -> dict[str, dict[str, str | None]]:
        chosen = [(name, test) for name, (test, _) in CAUGHT.items() if file_of(name) == file]
        nodes = [f"{home_of(name)}::{test}" for name, test in chosen]
        return run_kit(tmp_path_factory.mktemp("named"), *nodes)

    return lambda mutant: outcomes_of(file_of(mutant))[mutant]


TOGETHER = [
    pytest.param(each, marks=pytest.mark.xdist_group(file_of(each).name)) for each in CAUGHT
]
"""The mutants, with the mark that sends those of one file to one test process."""


@pytest.mark.mutants
@pytest.mark.parametrize("mutant", TOGETHER)
def test_a_mutant_is_caught_by_the_test_about_its_fault(named, mutant):
    test, text = CAUGHT[mutant]
    message = named(mutant)[test]
    assert message is not None, f"{test} passes with {mutant}"
    assert message.startswith("AssertionError: ")
    assert text in message


@pytest.mark.soak
@pytest.mark.parametrize("mutant", WHOLE)
def test_a_mutant_fails_nothing_but_the_tests_about_its_fault(tmp_path, mutant):
    outcomes = run_kit(tmp_path, home_of(mutant))[mutant]
    failed = {name for name, problem in outcomes.items() if problem is not None}
    assert failed == WHOLE[mutant]
    assert len(outcomes) >= 40


@pytest.mark.soak
@pytest.mark.parametrize("mutant", EXACT)
def test_a_mutant_fails_the_whole_kit_only_for_its_fault(tmp_path, mutant):
    outcomes = run_kit(tmp_path, home_of(mutant), patience=2.0)[mutant]
    failed = {name for name, problem in outcomes.items() if problem is not None}
    named = {CAUGHT[mutant][0]} if mutant in CAUGHT else set()
    assert failed == named | EXACT[mutant]
