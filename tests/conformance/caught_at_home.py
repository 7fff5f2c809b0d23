"""Which test catches which mutant, and what it says: on a network that is always there."""

from __future__ import annotations

CAUGHT_AT_HOME = {
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
    "LosesTheTtl": ("test_every_field_comes_back", "ttl was 1.5 and came back as None"),
    "MakesFloatsOfIntegers": ("test_payloads_come_back", "did not come back as sent"),
    "LetsTheLibrarysErrorOut": (
        "test_bytes_that_are_no_message_are_refused",
        "not UnicodeDecodeError",
    ),
    "LetsSetsThrough": ("test_what_is_read_is_a_message", "that was read has a set"),
    "LetsCyclesThrough": ("test_what_is_read_is_a_message", "is too deep, or contains itself"),
    "LetsDepthOut": (
        "test_what_is_nested_too_deep_is_refused",
        "not RecursionError(",
    ),
    "MakesRoomForWhatIsClaimed": ("test_false_lengths_cost_nothing", " bytes took 64 MiB"),
    "SaysItCarriesSets": (
        "test_payloads_come_back",
        "a set did not come back as sent",
    ),
    "MakesADictOfAnyKeys": ("test_chosen_keys_cost_no_more_than_others", "chosen keys took"),
    "CountsForReadersOnly": ("test_what_waits_is_counted", "for no reader"),
    "CountsWithoutWhatIsInHand": ("test_what_waits_is_counted", "with one in hand"),
    "CountsNamesLoosely": ("test_what_waits_is_counted", "for no reader"),
    "TakesWhatItCounts": ("test_what_waits_is_counted", "with one in hand"),
    "CountsAfterItsEnd": ("test_what_waits_is_counted", "backlog() after stop()"),
}
