"""What the queue of mails does."""

from dataclasses import replace

from domain.mail import Locale, MailKind
from tests.builders import NOW, a_queued_mail
from tests.contracts.populated import LATER, SECOND, Populated, ids


class OutboxContract(Populated):
    def test_a_mail_that_is_due_is_given_out_and_counted(self, populated):
        mail = a_queued_mail(kind=MailKind.INVITE, locale=Locale.ZH, subject_id="ott_1")
        with populated() as work:
            work.outbox.put(mail)

        with populated() as work:
            assert work.outbox.claim(NOW - SECOND, LATER, 9) == []
            assert work.outbox.claim(NOW, LATER, 9) == [replace(mail, due_at=LATER, attempts=1)]
            assert work.outbox.claim(LATER - SECOND, LATER, 9) == []
        with populated() as work:
            assert work.outbox.claim(LATER, LATER + SECOND, 9) == [replace(mail, due_at=LATER + SECOND, attempts=2)]

    def test_what_was_due_first_comes_first_and_not_too_much_at_once(self, populated):
        with populated() as work:
            for number in range(1, 5):
                work.outbox.put(a_queued_mail(id=f"mail_{number}", due_at=NOW - number * SECOND))

        with populated() as work:
            assert ids(work.outbox.claim(NOW, LATER, 3)) == ["mail_4", "mail_3", "mail_2"]
            assert ids(work.outbox.claim(NOW, LATER, 3)) == ["mail_1"]
            assert work.outbox.waiting() == 4

    def test_a_postponed_mail_waits_and_a_finished_one_is_forgotten(self, populated):
        with populated() as work:
            work.outbox.put(a_queued_mail())
            work.outbox.put(a_queued_mail(id="mail_2"))
            work.outbox.postpone("mail_1", LATER)
            work.outbox.done("mail_2")
            work.outbox.done("mail_3")

        with populated() as work:
            assert work.outbox.claim(LATER - SECOND, LATER, 9) == []
            assert ids(work.outbox.claim(LATER, LATER, 9)) == ["mail_1"]
            assert work.outbox.waiting() == 1
