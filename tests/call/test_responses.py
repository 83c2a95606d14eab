from phonebot.call.responses import REQUEST_PATIENCE_MS, RETRIES, RETRY_MS, Responses
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
