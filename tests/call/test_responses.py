from phonebot.call.responses import Responses
from phonebot.realtime.events import CreateResponse, ResponseOptions

GREETING = ResponseOptions(instructions="greet")


def test_a_request_goes_out_at_once_when_nothing_is_active() -> None:
    assert Responses().request(GREETING) == (CreateResponse(GREETING, "response-1"),)


def test_a_request_waits_for_the_active_response_to_end() -> None:
    responses = Responses()
    responses.created("resp_1")
    assert responses.request() == ()
    assert responses.done("resp_1") == (CreateResponse(event_id="response-1"),)


def test_requests_without_wishes_of_their_own_become_one() -> None:
    responses = Responses()
    responses.created("resp_1")
    responses.request()
    responses.request(GREETING)
    responses.request()
    assert responses.done("resp_1") == (CreateResponse(event_id="response-1"),)
    responses.created("resp_2")
    assert responses.done("resp_2") == (CreateResponse(GREETING, "response-2"),)
    responses.created("resp_3")
    assert responses.done("resp_3") == ()


def test_a_request_that_met_the_models_own_response_is_kept_and_repeated_after_it() -> None:
    responses = Responses()
    (request,) = responses.request(GREETING)
    responses.created("resp_vad")
    assert not responses.refused(request.event_id)  # it was answered by a response already

    responses = Responses()
    (request,) = responses.request(GREETING)
    assert responses.refused(request.event_id)
    assert responses.done("resp_vad") == (CreateResponse(GREETING, "response-2"),)


def test_the_end_of_another_response_leaves_the_active_one_active() -> None:
    responses = Responses()
    responses.created("resp_1")
    responses.request()
    assert responses.done("resp_0") == ()
    assert responses.active == "resp_1"
