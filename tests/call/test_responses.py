from phonebot.call.responses import REQUEST_PATIENCE_MS, RETRIES, RETRY_MS, Responses, exactly
from phonebot.realtime.events import CreateResponse, ResponseOptions

GREETING = ResponseOptions(instructions="greet")


def asked_for(options: ResponseOptions) -> tuple[Responses, CreateResponse]:
    """Responses of which one was asked for at 0, with the request."""
    responses = Responses()
    responses.want(options)
    (request,) = responses.ask(0)
    return responses, request


def test_a_wanted_response_is_asked_for_at_once_when_none_is_active() -> None:
    _, request = asked_for(GREETING)
    assert request == CreateResponse(GREETING, "response-1")


def test_a_wanted_response_waits_for_the_active_one_to_end() -> None:
    responses = Responses()
    responses.created("resp_1")
    responses.want()
    assert responses.ask(0) == ()
    responses.done("resp_1")
    assert responses.ask(0) == (CreateResponse(event_id="response-1"),)


def test_responses_wanted_without_wishes_of_their_own_become_one() -> None:
    responses = Responses()
    responses.created("resp_1")
    responses.want()
    responses.want(GREETING)
    responses.want()
    responses.done("resp_1")
    assert responses.ask(0) == (CreateResponse(event_id="response-1"),)
    responses.created("resp_2")
    responses.done("resp_2")
    assert responses.ask(0) == (CreateResponse(GREETING, "response-2"),)
    responses.created("resp_3")
    responses.done("resp_3")
    assert responses.ask(0) == ()


def test_a_request_that_crossed_the_models_own_response_is_repeated_after_it() -> None:
    """The order on the wire: the model's response begins, then our request is refused because of it."""
    responses, request = asked_for(GREETING)
    responses.created("resp_vad")
    assert responses.refused(request.event_id, busy=True)
    assert responses.ask(100) == ()
    responses.done("resp_vad")
    assert responses.ask(200) == (CreateResponse(GREETING, "response-2"),)


def test_a_refusal_that_names_no_command_is_the_requests_when_it_says_that_one_is_active() -> None:
    responses, _ = asked_for(GREETING)
    responses.created("resp_vad")
    assert not responses.refused(None, busy=False)
    assert responses.refused(None, busy=True)


def test_a_request_refused_for_what_it_says_is_not_repeated() -> None:
    responses, request = asked_for(GREETING)
    assert responses.refused(request.event_id, busy=False)
    assert responses.ask(60_000) == ()


def test_a_response_that_ends_without_having_begun_answers_the_request() -> None:
    responses, _ = asked_for(GREETING)
    responses.done("resp_1")
    responses.want()
    assert responses.ask(100) == (CreateResponse(event_id="response-2"),)


def test_the_end_of_another_response_leaves_the_active_one_active() -> None:
    responses = Responses()
    responses.created("resp_1")
    responses.want()
    responses.done("resp_0")
    assert responses.ask(0) == ()
    assert responses.active == "resp_1"


def test_a_request_that_nothing_follows_is_given_up_and_a_plain_one_sent() -> None:
    responses, _ = asked_for(GREETING)
    assert responses.due_ms == REQUEST_PATIENCE_MS
    assert responses.ask(REQUEST_PATIENCE_MS - 1) == ()
    assert responses.ask(REQUEST_PATIENCE_MS) == (CreateResponse(event_id="response-2"),)


def test_a_failed_response_is_asked_for_again_after_a_pause_and_not_for_ever() -> None:
    responses, _ = asked_for(GREETING)
    for n in range(RETRIES):
        now = n * 10_000
        responses.created(f"resp_{n}")
        assert responses.failed(f"resp_{n}", now)
        assert responses.ask(now + RETRY_MS - 1) == ()
        assert responses.due_ms == now + RETRY_MS
        assert responses.ask(now + RETRY_MS) == (CreateResponse(GREETING, f"response-{n + 2}"),)
    responses.created("resp_9")
    assert not responses.failed("resp_9", 60_000)
    assert responses.ask(120_000) == ()


def test_a_response_that_succeeds_makes_the_next_failure_the_first_again() -> None:
    responses = Responses()
    for n in range(RETRIES + 2):
        responses.created(f"bad_{n}")
        assert responses.failed(f"bad_{n}", 0)
        responses.ask(RETRY_MS)
        responses.created(f"good_{n}")
        responses.done(f"good_{n}")


def insisting() -> tuple[Responses, CreateResponse]:
    """Responses of which one is insisted on, and was asked for at 0."""
    responses = Responses()
    responses.want()
    responses.insist(exactly("Goodbye."))
    (request,) = responses.ask(0)
    return responses, request


def mark(request: CreateResponse) -> dict[str, str]:
    assert isinstance(request.options.metadata, dict)
    return request.options.metadata


def test_what_is_insisted_on_takes_the_place_of_all_that_was_wanted() -> None:
    responses, request = insisting()
    assert request.options.instructions == exactly("Goodbye.").instructions
    assert not responses.created("resp_1", mark(request))
    assert responses.says_exactly("resp_1")
    responses.done("resp_1")
    assert responses.ask(0) == ()


def test_the_models_own_response_is_unwanted_and_what_is_insisted_on_is_asked_for_again() -> None:
    responses, request = insisting()
    assert responses.created("resp_own")
    assert responses.refused(request.event_id, busy=True)
    responses.drop_wanted()  # an answer of the model's own does not replace it
    responses.done("resp_own")
    (again,) = responses.ask(100)
    assert again.options == request.options
    assert not responses.created("resp_1", mark(again))


def test_one_that_was_lost_is_asked_for_again_and_nothing_beside_it() -> None:
    responses, request = insisting()
    (again,) = responses.ask(REQUEST_PATIENCE_MS)
    assert again.options == request.options
    responses.created("resp_1", mark(again))
    responses.done("resp_1")
    assert responses.ask(REQUEST_PATIENCE_MS) == ()


def test_one_that_failed_or_crossed_the_caller_is_still_insisted_on() -> None:
    responses, request = insisting()
    responses.created("resp_1", mark(request))
    responses.crossed("resp_1")
    responses.done("resp_1")
    (again,) = responses.ask(0)
    responses.created("resp_2", mark(again))
    assert responses.failed("resp_2", 0)
    assert responses.ask(0) == ()
    (third,) = responses.ask(RETRY_MS)
    assert third.options == request.options


def test_one_that_is_not_wanted_any_more_is_not_asked_for() -> None:
    responses = Responses()
    responses.insist(exactly("Goodbye."))
    assert responses.owes_words
    responses.relent()
    assert responses.ask(0) == ()


def test_of_a_service_without_marks_the_second_response_is_taken_for_ours() -> None:
    responses, _ = insisting()
    assert responses.created("resp_own")
    responses.done("resp_own")
    responses.ask(0)
    assert not responses.created("resp_ours")
    assert responses.says_exactly("resp_ours")
