"""Which test catches which mutant, and what it says: outages, processes, what is kept."""

from __future__ import annotations

CAUGHT_IN_OUTAGES = {
    # the mutant: (the test that must catch it, what that test says)
    "IgnoresItsLimitAtHome": (
        "test_a_frame_over_the_limit_is_refused",
        "publish in the recipient's own process of a frame over the limit: expected",
    ),
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
        "two that wait used ",
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
}
