import base64
from urllib.parse import quote

import orjson
import pytest

from infrastructure.redaction import Redactor, secrets_of
from infrastructure.settings import load
from tests.builders import a_token

SECRET = 'tr0ub4dor&3 "quoted"/ü-correct-horse'


@pytest.fixture
def redactor():
    it = Redactor()
    it.register(SECRET)
    return it


def encoded(prefix: str) -> bytes:
    return base64.b64encode((prefix + SECRET).encode())


@pytest.mark.parametrize(
    "form",
    [
        SECRET.encode(),
        SECRET.encode().hex().encode(),
        SECRET.encode().hex().upper().encode(),
        quote(SECRET, safe="").encode(),
        orjson.dumps(SECRET),
        encoded(""),
        encoded("u"),
        encoded("us"),
        base64.urlsafe_b64encode(SECRET.encode()),
    ],
)
def test_a_registered_secret_is_masked_in_every_usual_form(redactor, form):
    line = redactor.redact(b'{"event":"x ' + form + b' y"}')

    assert b"[redacted]" in line
    assert form[4:-6] not in line
    assert line.endswith(b' y"}')


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (a_token(), a_token()[-4:]),
        (a_token(environment="live"), a_token(environment="live")[-4:]),
        ("sk-proj-abcdefghijklmnop-1234", "1234"),
        ("Bearer abcdefghijklmnopqrstuvwxyz", "wxyz"),
        ("authorization: bearer abcdefghijklmnopqrstuvwxyz", "wxyz"),
        ("Basic dXNlcjpwYXNzd29yZC1vZi1hLXVzZXI=", "ZXI="),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjMifQ.c2lnbmF0dXJl", "dXJl"),
        ("mysql+pymysql://parley:a-very-long-password-of-a-database@db/x", "base@db/x"),
        ("redis://:hunter2hunter2@cache:6379/0", "@cache:6379/0"),
        ("{'Authorization': 'something-unusual-and-quite-long'}", "long'}"),
    ],
)
def test_what_looks_like_a_secret_keeps_four_characters_at_most(text, kept):
    line = Redactor().redact(text.encode()).decode()

    assert "[redacted]" in line
    assert line.endswith(kept)
    secret = max(text.replace("'", " ").replace("@", " ").replace("/", " ").split(), key=len)
    assert secret.rpartition(":")[2][:-4] not in line


@pytest.mark.parametrize("name", ["password", "Authorization", "api_key", "x-api-key", "token", "cookie"])
def test_fields_with_telling_names_are_masked_in_nested_json_and_in_text(name):
    redactor = Redactor()
    nested = orjson.dumps({"a": {"b": [{name: "hunter2-hunter2"}]}, "rest": 1})
    text = orjson.dumps({"event": f'{{"{name}": "hunter2-hunter2"}}'})

    for line in (nested, text):
        assert b"hunter2-hunter" not in redactor.redact(line)


@pytest.mark.parametrize(
    "text",
    [
        '{"prompt_tokens":12,"key_id":"key_01jabcdefghijkl","token_type":"x"}',
        '{"event":"parley_journal_lag_records parley_log_lines_dropped_total task-1234567890"}',
        '{"url":"http://127.0.0.1:8080/api/v1/models","event":"bearer of news"}',
    ],
)
def test_innocent_text_stays_as_it_is(redactor, text):
    expected = text.replace("bearer of", "bearer of")

    assert redactor.redact(text.encode()).decode() == expected


def test_short_values_are_not_registered_because_they_occur_in_words():
    redactor = Redactor()
    redactor.register("parley")
    redactor.register(None)

    assert redactor.redact(b"parley speaks") == b"parley speaks"


def test_redacting_twice_changes_nothing_more(redactor):
    once = redactor.redact(f"Bearer {a_token()} and {SECRET}".encode())

    assert redactor.redact(once) == once


@pytest.mark.parametrize(
    "event",
    [
        {"event": f"x {SECRET}"},
        {"event": "x", SECRET: 1},
        {"event": "x", "password": "something"},
        {"event": "x", "url": "redis://:hunter2hunter2@cache"},
        {"event": "x", "nested": {"a": SECRET}},
        {"event": "x", "list": [1]},
        {"event": a_token()},
    ],
)
def test_an_event_is_innocent_only_when_nothing_in_it_is_a_secret(redactor, event):
    assert not redactor.is_innocent(event)
    assert not redactor.is_innocent(event)


def test_words_that_were_innocent_are_looked_at_again_when_a_secret_becomes_known():
    redactor = Redactor()
    event = {"event": "hello", "word": "swordfish-of-the-day", "n": 1, "none": None, "f": 1.5, "yes": True}
    assert redactor.is_innocent(event)
    assert redactor.is_innocent(event)

    redactor.register("swordfish-of-the-day")

    assert not redactor.is_innocent(event)


def test_what_is_remembered_of_innocent_words_is_bounded(redactor):
    for number in range(5000):
        assert redactor.is_innocent({"request_id": f"req_{number}"})

    assert len(redactor._innocent) < 2100


def test_each_of_several_credentials_of_a_provider_is_a_secret(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNUSUAL", "first-of-the-file")
    monkeypatch.setenv("ODD", "second-of-the-file")
    (tmp_path / "parley.toml").write_text(
        '[providers.acme]\nbase_url = "http://127.0.0.1:1/v1"\n'
        'credentials = [{api_key_env = "UNUSUAL"}, {api_key_env = "ODD"}]\n'
    )

    assert {"first-of-the-file", "second-of-the-file"} <= set(secrets_of(load()))
