from datetime import timedelta

import pytest

from application.mail_texts import write
from domain.mail import Locale, MailKind
from domain.one_time_token import Purpose

LINK = "https://parley.example.org/reset#token=abc"
EVERY = [(kind, locale) for kind in MailKind for locale in Locale]


@pytest.mark.parametrize(("kind", "locale"), EVERY)
def test_every_mail_has_a_short_subject_and_its_link_on_a_line_of_its_own(kind: MailKind, locale: Locale):
    subject, text = write(kind, locale, LINK)

    assert 0 < len(subject) <= 40
    assert "\n" not in subject
    assert text.splitlines().count(LINK) == 1
    assert "{" not in text
    assert len(text.splitlines()) < 20


@pytest.mark.parametrize(("kind", "locale"), EVERY)
def test_every_mail_says_what_to_do_for_whoever_did_not_ask_for_it(kind: MailKind, locale: Locale):
    text = write(kind, locale, LINK)[1]
    doubts = {Locale.EN: ("not you", "did not", "hopefully you"), Locale.ZH: ("不是您", "没有申请", "并未", "希望是您")}

    assert any(doubt in text for doubt in doubts[locale])


@pytest.mark.parametrize("kind", MailKind)
def test_the_languages_are_what_they_are_called(kind: MailKind):
    english, chinese = (" ".join(write(kind, locale, LINK)) for locale in (Locale.EN, Locale.ZH))

    assert english.isascii()
    assert any("\u4e00" <= char <= "\u9fff" for char in chinese)


def test_the_mails_tell_how_long_their_links_really_work():
    said = {
        Purpose.RESET: ("15 minutes", "15 分钟"),
        Purpose.CONFIRM: ("one day", "1 天"),
        Purpose.INVITE: ("7 days", "7 天"),
    }

    for purpose, (english, chinese) in said.items():
        assert english in write(MailKind(purpose.value), Locale.EN, LINK)[1]
        assert chinese in write(MailKind(purpose.value), Locale.ZH, LINK)[1]
    assert [purpose.lifetime for purpose in said] == [timedelta(minutes=15), timedelta(days=1), timedelta(days=7)]
