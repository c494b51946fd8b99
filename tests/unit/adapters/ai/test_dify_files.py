from email import message_from_bytes, policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.ai import dify_files
from adapters.ai.conversation import Inline
from adapters.ai.dify_errors import FileTooLarge, FileTypeRefused
from adapters.ai.dify_files import Uploads, multipart
from adapters.ai.dify_question import Attachment
from domain import errors
from domain.provider_errors import UpstreamBadJson, UpstreamReset

PATH = "messages.0.content.1.file.file_data"


class Calls:
    """Remembers what was uploaded, and answers or raises what it was given."""

    def __init__(self, answer=None):
        self.answer = {"id": "file-1"} if answer is None else answer
        self.sent = []

    def send(self, path, content_type, body, cancellation, request_id):
        self.sent.append((path, message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def upload(calls, media_type="application/pdf", data="YWJj", name=""):
    attachment = Attachment("document", PATH, name, file=Inline(media_type, data))
    return Uploads(calls).reference(attachment, "usr_1", None, "req_1")


def uploaded(media_type, **fields):
    """Kind and name that a file is uploaded under."""
    calls = Calls()
    kind = upload(calls, media_type, **fields)["type"]
    ((_, form),) = calls.sent
    return kind, form.get_payload()[1].get_filename()


@pytest.mark.parametrize(
    ("media_type", "kind", "name"),
    [
        ("image/jpeg", "image", "image.jpg"),
        ("image/svg+xml", "image", "image.svg"),
        ("audio/mpeg", "audio", "audio.mp3"),
        ("video/quicktime", "video", "video.mov"),
        ("application/pdf", "document", "document.pdf"),
        ("text/markdown", "document", "document.md"),
        ("text/x-python", "document", "document.txt"),
        ("application/json", "document", "document.txt"),
    ],
)
def test_a_type_has_its_kind_and_its_extension(media_type, kind, name):
    assert uploaded(media_type) == (kind, name)


@pytest.mark.parametrize(
    "media_type", ["", "application/zip", "application/x-msdownload", "text/", "text/a b", "text/a\r\nX: y"]
)
def test_a_type_that_dify_does_not_take_is_not_even_sent(media_type):
    calls = Calls()
    with pytest.raises(errors.UnsupportedMediaType) as caught:
        upload(calls, media_type)

    assert (caught.value.param, calls.sent) == (PATH, [])


@pytest.mark.parametrize(
    ("given_name", "name"),
    [
        ("report.pdf", "report.pdf"),
        ("report", "report.pdf"),
        ("report.exe", "report.exe.pdf"),
        ("../../etc/passwd", "_.._etc_passwd.pdf"),
        ('a"; name="user', "a_; name=_user.pdf"),
        ("a\r\nX-Evil: 1", "a_X-Evil: 1.pdf"),
        ("...", "file.pdf"),
        ("x" * 300, "x" * 100 + ".pdf"),
    ],
)
def test_a_name_is_made_safe_and_has_the_extension_of_its_type(given_name, name):
    assert uploaded("application/pdf", name=given_name)[1] == name


def test_a_file_is_larger_than_allowed_before_anything_is_decoded(monkeypatch):
    monkeypatch.setattr(dify_files, "b64decode", pytest.fail)
    calls = Calls()
    with pytest.raises(errors.PayloadTooLarge) as caught:
        upload(calls, "image/png", "A" * 13_400_000)

    assert (caught.value.param, calls.sent) == (PATH, [])


def test_a_file_of_exactly_the_largest_size_is_allowed():
    assert upload(Calls(), "image/png", "A" * 13_333_332 + "AA==")["upload_file_id"] == "file-1"


@pytest.mark.parametrize("data", ["a", "ä", "!!!!", "YWJj\n"])
def test_what_is_no_base64_is_refused(data):
    with pytest.raises(errors.InvalidRequest):
        upload(Calls(), data=data)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (FileTooLarge("Too big."), errors.PayloadTooLarge),
        (FileTypeRefused("Not that."), errors.UnsupportedMediaType),
        (UpstreamReset(), UpstreamReset),
        ({}, UpstreamBadJson),
        ({"id": "../x"}, UpstreamBadJson),
        ({"id": 7}, UpstreamBadJson),
    ],
)
def test_an_upload_that_fails_has_its_name(answer, error):
    with pytest.raises(error):
        upload(Calls(answer))


@given(st.binary(max_size=200), st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1))
def test_a_form_says_what_was_put_into_it(content, who):
    body = multipart("0123456789abcdef", who, "a.pdf", "application/pdf", content)
    head = b"Content-Type: multipart/form-data; boundary=0123456789abcdef\r\n\r\n"
    user, file = message_from_bytes(head + body, policy=policy.HTTP).iter_parts()

    assert user.get_payload(decode=True) == who.encode()
    assert body.count(content + b"\r\n--0123456789abcdef--\r\n") == 1
    assert file.get_content_type() == "application/pdf"
