import pytest

from adapters.ai.address import Address
from domain.errors import InvalidRequest


@pytest.mark.parametrize(
    ("url", "expected", "host_header"),
    [
        ("https://api.example/v1/", Address("api.example", 443, True, "/v1"), "api.example"),
        ("http://127.0.0.1:8000", Address("127.0.0.1", 8000, False, ""), "127.0.0.1:8000"),
        ("http://[::1]:8000/v1", Address("::1", 8000, False, "/v1"), "[::1]:8000"),
        ("http://api.example:80/a/b", Address("api.example", 80, False, "/a/b"), "api.example"),
    ],
)
def test_a_base_url_says_where_to_connect_and_what_to_ask(url, expected, host_header):
    assert Address.parse(url) == expected
    assert Address.parse(url).host_header == host_header


@pytest.mark.parametrize(
    ("url", "near"),
    [
        ("http://ollama:11434", True),
        ("https://10.0.0.7", True),
        ("https://api.example", False),
        ("https://8.8.8.8", False),
    ],
)
def test_it_says_by_its_text_whether_it_is_near(url, near):
    assert Address.parse(url).near is near


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.example/v1",
        "ftp://api.example",
        "file:///etc/passwd",
        "http://",
        "http://user:secret@api.example",
        "http://evil.example@api.example",
        "http://api.example/v1?key=secret",
        "http://api.example/#v1",
        "http://api.example:port",
        "http://api.example:99999",
        "http://api.example/v1\r\nX-Evil: 1",
        "http://api.example\\@evil.example",
        "http://①②⑦.0.0.1",
        "http://[::1",
        "http://a b",
        "http://@api.example",
        "http://api.example:0",
        "http://api.example:080",
        "http://[::1].api.example",
        "http://api.example.",
        "http://127.1",
        "http://0x7f000001",
        "http://0.0.0.0:8000",
        "http://169.254.169.254",
        "http://[::ffff:127.0.0.1]",
        "http://[fe80::1%25eth0]",
        "http://metadata.google.internal",
    ],
)
def test_anything_but_a_plain_address_is_refused(url):
    with pytest.raises(InvalidRequest):
        Address.parse(url)
