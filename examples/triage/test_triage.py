"""Rehearsals: `pytest` holds these calls in virtual time, with the profile of numbers.toml."""

from pathlib import Path

import pytest
import triage

from phonebot.rehearsal.phone import Phone


@pytest.fixture
def phone(phone: Phone) -> Phone:
    phone.tools(triage.find_invoice, triage.check_line)
    phone.model(Path(__file__).with_name("script.toml"))
    phone.dial()
    phone.expect_heard("what is it about")
    return phone


def test_a_question_about_a_bill_goes_to_billing(phone: Phone) -> None:
    phone.say("I have a question about my bill.")
    phone.expect_agent("billing")
    phone.expect_called("find_invoice")
    phone.expect_heard("Your invoice is of 48 dollars")


def test_a_dead_line_goes_from_billing_to_technical(phone: Phone) -> None:
    phone.say("I have a question about my bill.")
    phone.expect_agent("billing")
    phone.expect_heard("This is billing")
    phone.say("And my internet is not working.")
    phone.expect_agent("technical")
    phone.expect_heard("a technician has to come")


def test_anything_else_stays_where_it_is(phone: Phone) -> None:
    phone.say("What are your opening hours?")
    phone.expect_heard("from nine to six")
    assert phone.functions == ()


def test_billing_promises_no_refund(phone: Phone) -> None:
    phone.say("I have a question about my bill.")
    phone.expect_heard("This is billing")
    phone.say("I want my money back.")
    phone.expect_tripped("no_promised_refunds")
    phone.expect_heard("I cannot promise a refund")


def test_a_caller_who_reads_his_card_is_stopped(phone: Phone) -> None:
    phone.say("Take my card: 4111 1111 1111 1111.")
    phone.expect_tripped("card_numbers")
    phone.expect_heard("Please do not tell me")


def test_who_asks_for_a_human_leaves_the_bot(phone: Phone) -> None:
    phone.say("I want to talk to a human.")
    phone.expect_called("transfer_call")
    phone.expect_heard("I am calling a colleague")
    phone.expect_hung_up("transferred")
