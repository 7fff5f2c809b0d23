"""The kit is worth something: each wrong transport fails the test that is about its fault."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

MUTANTS = Path(__file__).with_name("mutants")

CAUGHT = {
    # the mutant: (the test that must catch it, what that test says)
    "LosesOneInTen": ("test_frames_of_one_address_arrive_in_order", "200 frames at 'worker'"),
    "Reorders": ("test_frames_of_one_address_arrive_in_order", "the order of the frames is not"),
    "LetsOthersOvertake": (
        "test_frames_of_many_tasks_arrive_in_order",
        "a later publish has overtaken an earlier one",
    ),
    "DeliversTwice": ("test_a_frame_arrives_once", "sent 3 frames, "),
    "StripsZeroBytes": ("test_bytes_arrive_unchanged", "what arrived is not what was published"),
    "CutsLargeFrames": ("test_a_large_frame_arrives_intact", "65536 arrived"),
    "MatchesPrefixes": ("test_addresses_are_exact", "got frames of other addresses"),
    "FoldsCase": ("test_addresses_are_exact", "got frames of other addresses"),
    "TakesDotsForUnderscores": ("test_addresses_are_exact", "got frames of other addresses"),
    "EscapesAllButItsEscape": ("test_addresses_are_exact", "got frames of other addresses"),
    "LetsASecondOwnerIn": (
        "test_an_agents_address_has_one_owner",
        "expected CivitasError, but nothing was raised",
    ),
    "SystemAddressesHaveOneSubscriber": (
        "test_a_system_address_reaches_every_subscriber",
        "2 frames at '_agency.conformance', where 0 came",
    ),
    "KeepsDeliveringAfterUnsubscribe": (
        "test_unsubscribe_ends_delivery",
        "a frame came after unsubscribe",
    ),
    "IgnoresItsLimit": (
        "test_a_frame_over_the_limit_is_refused",
        "expected MessageTooLargeError, but nothing was raised",
    ),
    "IgnoresItsLimitAtHome": (
        "test_a_frame_over_the_limit_is_refused",
        "publish in the recipient's own process of a frame over the limit: expected",
    ),
    "OneHandlerAtATime": (
        "test_a_slow_handler_holds_up_no_other_address",
        "publish to 'quick' beside a slow handler",
    ),
    "DiesOfMalformedBytes": (
        "test_malformed_bytes_are_survived",
        "in vain for a frame at 'worker'",
    ),
    "DiesWithAHandler": (
        "test_a_handler_that_raises_stops_nothing",
        "a frame at 'failing', where 0 came",
    ),
    "LetsTheHandlersErrorOut": (
        "test_a_handler_that_raises_stops_nothing",
        "raised the handler's error",
    ),
    "ComplainsAboutNobody": (
        "test_publishing_to_nobody_harms_nobody",
        "expected MessageRoutingError, not LookupError",
    ),
    "AnswersInOrderOfArrival": (
        "test_requests_in_flight_get_their_own_answers",
        "answers were mixed up",
    ),
    "KeepsExpiredRequests": (
        "test_a_timeout_leaves_nothing_of_the_request",
        "the address of an expired request is kept",
    ),
    "SwallowsCancellation": (
        "test_a_cancelled_request_leaves_nothing",
        "the cancellation was swallowed",
    ),
    "LeavesRequestsHanging": (
        "test_stop_fails_requests_in_flight",
        "requests in flight to end after stop",
    ),
    "TimesOutInItsOwnWay": (
        "test_an_unanswered_request_times_out",
        "expected TimeoutError, not LookupError",
    ),
    "ClaimsEveryReplyAddress": (
        "test_has_reply_address_tells_what_is_in_flight",
        "an unknown reply address is taken for ours",
    ),
    "StopsOnlyOnce": ("test_stop_is_idempotent", "two calls of stop at once raised"),
    "IsSilentAfterStop": (
        "test_after_stop_nothing_is_sent",
        "expected NotConnectedError, but nothing was raised",
    ),
    "IsNeverReady": ("test_wait_ready_returns", "in vain for wait_ready() without a subscription"),
    "LeaksATask": ("test_a_used_transport_leaves_nothing", "tasks left after stop: ['forgotten"),
    "LeaksAThread": ("test_a_used_transport_leaves_nothing", "threads left after stop: ['forg"),
    "LeaksADescriptor": ("test_a_used_transport_leaves_nothing", "descriptors left after stop"),
    "TakesAnErrorForAnAcknowledgement": (
        "test_a_failed_frame_is_given_again_before_the_next",
        "it was not given again, then the next one",
    ),
    "LetsTheNextOnePass": (
        "test_a_failed_frame_is_given_again_before_the_next",
        "it was not given again, then the next one",
    ),
    "DoesNotSayHowOften": (
        "test_a_failed_frame_is_given_again_before_the_next",
        "the attempts are not the earlier deliveries",
    ),
    "RetriesForEver": (
        "test_a_frame_that_fails_for_ever_is_given_up",
        "in vain for a frame at 'worker'",
    ),
    "CountsWhatWasNotExecuted": (
        "test_what_was_not_executed_is_given_again_uncounted",
        "it was not given again, then the next one",
    ),
    "RetriesWhatCanNotBeRead": (
        "test_what_can_not_be_read_is_not_given_again",
        "a frame came again that can't be read",
    ),
    "AcknowledgesOnArrival": (
        "test_a_frame_in_hand_is_not_acknowledged",
        "1 frames at 'worker', where 0 came",
    ),
    "LosesWhatIsInHandAtUnsubscribe": (
        "test_unsubscribe_gives_back_what_is_in_hand",
        "1 frames at 'worker', where 0 came",
    ),
    "ForgetsItsLastAcknowledgement": (
        "test_a_processed_frame_does_not_come_again",
        "a processed frame came again",
    ),
    "LosesWhatIsForNobody": (
        "test_a_frame_for_nobody_is_kept",
        "3 frames at 'worker', where 0 came",
    ),
    "KeepsSystemFrames": ("test_system_frames_are_not_kept", "a system frame was kept"),
    "IsReadyTooEarly": (
        "test_ready_means_reachable",
        "1 frames at 'fresh-0', where 0 came",
    ),
    "SharesOnlyMemory": (
        "test_another_process_answers",
        "in vain for an answer of the other process",
    ),
    "NeverConnectsAgain": (
        "test_after_a_broker_restart_frames_arrive",
        "in vain for 'worker' again",
    ),
    "ForgetsItsSubscriptions": (
        "test_after_a_broker_restart_frames_arrive",
        "in vain for 'worker' again",
    ),
    "SubscribesTwice": (
        "test_after_a_broker_restart_frames_arrive",
        "did not come once, in order",
    ),
    "TrustsOldProofs": (
        "test_after_a_broker_restart_ready_means_reachable",
        "in vain for a frame at 'worker'",
    ),
    "ForgetsItsReplyAddress": (
        "test_after_a_broker_restart_requests_are_answered",
        "in vain for an answer after the restart",
    ),
    "HangsWithoutItsBroker": (
        "test_while_the_broker_is_away_nothing_hangs",
        "in vain for publish to 'worker' in an outage",
    ),
    "StopWaitsForItsBroker": (
        "test_while_the_broker_is_away_nothing_hangs",
        "in vain for stop() without a broker",
    ),
    "SharesSystemFramesOut": (
        "test_a_system_address_reaches_every_subscriber",
        "2 frames at '_agency.conformance', where 0 came",
    ),
    "DeliversWhatIsLate": (
        "test_frames_of_a_fenced_node_are_refused",
        "a frame of a fenced node was delivered",
    ),
    "DropsInSilence": (
        "test_a_reply_that_nobody_awaits_is_dropped",
        "in vain for the stray reply to be reported as dropped",
    ),
    "NeedsTheMainThread": (
        "test_a_second_instance_runs_in_a_thread",
        "in a thread of its own it fails: ValueError",
    ),
    "ThrowsAwayAtStop": (
        "test_stop_delivers_what_was_accepted",
        "50 frames at 'worker', where 0 came",
    ),
    "TellsNoOutage": ("test_an_outage_is_told", "in vain for link_down()"),
    "SaysUpTooEarly": ("test_an_outage_is_told", "in vain for a frame at 'worker'"),
    "KeepsSilentInAnOutage": (
        "test_an_outage_is_told",
        "expected CivitasError, but nothing was raised",
    ),
    "SendsLateWhatItRefused": (
        "test_an_outage_is_told",
        "what publish() refused in the outage arrived after it",
    ),
    "ReportsItsLossTwice": ("test_an_outage_is_told", "one outage was reported as"),
    "TakesSilenceForPeace": (
        "test_a_broker_that_stands_still_is_noticed",
        "in vain for link_down()",
    ),
    "KeepsItInMemoryOnly": (
        "test_what_was_published_survives_the_broker",
        "3 frames at 'worker', where 0 came",
    ),
    "IsHeardTwiceAfterACut": (
        "test_after_a_cut_link_frames_arrive",
        "did not come once, in order",
    ),
    "SharesOutBeyondThirty": (
        "test_publishes_in_flight_together_keep_their_order",
        "a later publish has overtaken an earlier one",
    ),
    "SendsLargeOnesApart": (
        "test_publishes_in_flight_together_keep_their_order",
        "a later publish has overtaken an earlier one",
    ),
    "LetsRequestsOvertake": (
        "test_requests_and_publishes_keep_their_order",
        "a later call has overtaken an earlier one",
    ),
    "KeepsTwoWindows": (
        "test_a_backlog_behind_a_slow_handler_is_kept",
        "768 frames at 'slow', where ",
    ),
    "WedgesWhenCancelled": (
        "test_a_cancelled_publish_disturbs_no_other",
        "in vain for calls of which some were cancelled to end",
    ),
    "SendsHalfWhenCancelled": (
        "test_a_cancelled_publish_disturbs_no_other",
        "frames arrived that nobody published as they are",
    ),
    "LosesItsNeighbourWhenCancelled": (
        "test_a_cancelled_publish_disturbs_no_other",
        "publishes beside cancelled ones were lost",
    ),
    "CutsLargeAnswers": ("test_a_large_answer_arrives_intact", "65536 arrived"),
    "CutsLargeSystemFrames": ("test_a_large_system_frame_arrives_intact", "65536, 65536"),
    "LosesLargeAnswersInFlight": (
        "test_large_answers_in_flight_together_all_arrive",
        "in vain for 20 large and small answers",
    ),
    "CutsLongNames": (
        "test_long_names_are_told_apart_by_each_byte",
        "got frames of other addresses",
    ),
    "StaysSubscribed": (
        "test_unsubscribe_reaches_the_broker",
        "in vain for the broker to send nothing more",
    ),
    "SubscribesAgainBesides": (
        "test_an_address_can_be_left_and_taken_again",
        "not each frame once",
    ),
    "AnswersAnotherNodeNowAndThen": (
        "test_each_node_gets_its_own_answers",
        "in vain for 120 answers, each once",
    ),
    "LosesOneInFiftyAfterAReconnect": (
        "test_after_a_broker_restart_nothing_is_lost",
        "did not come once, in order",
    ),
    "ConnectsAgainOnlyOnce": (
        "test_a_second_outage_is_survived_like_the_first",
        "in vain for link_up()",
    ),
    "TellsOnlyTheFirstOutage": (
        "test_a_second_outage_is_survived_like_the_first",
        "in vain for link_down()",
    ),
    "ForgetsWhatIsSubscribedInAnOutage": (
        "test_a_subscription_made_in_an_outage_holds",
        "in vain for 'late' again",
    ),
    "SubscribesAgainWhatWasLeft": (
        "test_what_is_left_in_an_outage_stays_left",
        "the broker still sends what is for the address that was left",
    ),
    "LeavesADescriptorBehind": (
        "test_connecting_again_leaves_nothing_behind",
        "3 outages left behind: {'descriptors': 12}",
    ),
    "LeavesATaskBehind": (
        "test_connecting_again_leaves_nothing_behind",
        "3 outages left behind: {'tasks': 6}",
    ),
    "ConnectsWithoutAPause": (
        "test_it_waits_between_attempts_to_connect",
        "two transports tried to connect",
    ),
    "SpinsWithoutItsBroker": (
        "test_it_waits_between_attempts_to_connect",
        "two that wait used the processor for",
    ),
    "SubscribesFiveHundredAgain": (
        "test_a_thousand_addresses_survive_an_outage",
        "of 1000 addresses were not reached",
    ),
    "CallsItUnsent": (
        "test_what_is_called_not_sent_does_not_arrive",
        "says that it was not sent, and the frame arrived",
    ),
    "CallsSilenceUnsent": (
        "test_what_a_silent_broker_may_have_is_not_called_unsent",
        "says that it was not sent, and the frame arrived",
    ),
    "TellsNoDeadLetter": (
        "test_a_frame_that_is_given_up_is_told_once",
        "in vain for what was given up to be told",
    ),
    "TellsDeadLettersTwice": (
        "test_a_frame_that_is_given_up_is_told_once",
        "2 frames were given up, 4 told",
    ),
    "DeletesDeadLetters": (
        "test_a_frame_that_is_given_up_is_kept",
        "in vain for the frame that was given up, among the dead letters",
    ),
    "KeepsDeadLettersTwice": (
        "test_a_frame_that_is_given_up_is_kept",
        "one frame was given up, 2 are kept",
    ),
    "GivesAgainAtOnce": (
        "test_a_frame_waits_before_it_is_given_again",
        "a frame that was failed came again after 0.",
    ),
    "CountsAnOrderlyStop": (
        "test_an_orderly_stop_is_no_delivery",
        "orderly stops were counted as deliveries: [4, 0]",
    ),
    "RefusesWhatWasKept": (
        "test_what_was_kept_is_given_though_its_sender_is_fenced",
        "what was kept of a fenced node was refused",
    ),
    "SaysItsPassword": (
        "test_a_password_is_told_to_nobody",
        "the password is in the error of start()",
    ),
    "KeepsItsPasswordInACause": (
        "test_a_password_is_told_to_nobody",
        "the password is in the error of start()",
    ),
    "LogsItsPassword": (
        "test_a_password_is_told_to_nobody",
        "the password is in a log line of civitas.hub",
    ),
    "SaysItsPasswordInAnOutage": (
        "test_an_outage_tells_no_password",
        "the password is in the error of publish() in an outage",
    ),
    "CallsARefusalFine": (
        "test_a_refused_subscription_is_an_error",
        "neither subscribe() nor wait_ready() says so",
    ),
    "TakesARefusalForAnOutage": (
        "test_a_refused_subscription_is_an_error",
        "a refusal was reported as an outage",
    ),
    "LosesTheTtl": ("test_every_field_comes_back", "ttl was 1.5 and came back as None"),
    "MakesFloatsOfIntegers": ("test_payloads_come_back", "did not come back as sent"),
    "LetsTheLibrarysErrorOut": (
        "test_bytes_that_are_no_message_are_refused",
        "not UnicodeDecodeError",
    ),
    "MakesADictOfAnyKeys": ("test_chosen_keys_cost_no_more_than_others", "chosen keys took"),
}

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
    "LosesWhatIsForNobody": {"test_a_frame_for_nobody_is_kept", "test_another_process_answers"},
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
}


def run_kit(tmp_path: Path, *nodes: str) -> dict[str, dict[str, str | None]]:
    """Run tests in a pytest of their own; return, by class and test, None or the failure's text."""
    report = tmp_path / "report.xml"
    options = ["-q", "-p", "no:cacheprovider", "--noconftest", "-c", tmp_path / "none.ini"]
    (tmp_path / "none.ini").write_text("[pytest]\n")
    subprocess.run(
        [sys.executable, "-m", "pytest", *options, f"--junitxml={report}", *nodes],
        env={**os.environ, "PYTHONPATH": str(MUTANTS.parents[1])},
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


def home_of(mutant: str) -> str:
    """Return the node id of a mutant's test class."""
    definition = re.compile(rf"^class {mutant}\b", re.MULTILINE)
    homes = [each for each in sorted(MUTANTS.glob("*.py")) if definition.search(each.read_text())]
    return f"{homes[0]}::Test{mutant}"


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """Each mutant against the one test that is named for it."""
    nodes = [f"{home_of(name)}::{test}" for name, (test, _) in CAUGHT.items()]
    return run_kit(tmp_path_factory.mktemp("named"), *nodes)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    nodes = [home_of(name) for name in WHOLE]
    return run_kit(tmp_path_factory.mktemp("whole"), *nodes)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", CAUGHT)
def test_a_mutant_is_caught_by_the_test_about_its_fault(named, mutant):
    test, text = CAUGHT[mutant]
    message = named[mutant][test]
    assert message is not None, f"{test} passes with {mutant}"
    assert message.startswith("AssertionError: ")
    assert text in message


@pytest.mark.slow
@pytest.mark.parametrize("mutant", WHOLE)
def test_a_mutant_fails_nothing_but_the_tests_about_its_fault(whole, mutant):
    failed = {name for name, problem in whole[mutant].items() if problem is not None}
    assert failed == WHOLE[mutant]
    assert len(whole[mutant]) >= 40


@pytest.mark.soak
@pytest.mark.parametrize("mutant", EXACT)
def test_a_mutant_fails_the_whole_kit_only_for_its_fault(tmp_path, mutant):
    outcomes = run_kit(tmp_path, home_of(mutant))[mutant]
    failed = {name for name, problem in outcomes.items() if problem is not None}
    named = {CAUGHT[mutant][0]} if mutant in CAUGHT else set()
    assert failed == named | EXACT[mutant]
