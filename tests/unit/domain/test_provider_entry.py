"""What may be entered for a provider."""

import pytest

from domain.errors import InvalidRequest
from domain.provider_entry import checked_address, checked_secret, tail_of


@pytest.mark.parametrize(
    "address",
    [
        "https://llm.example.com",
        "https://llm.example.com:8443/v1",
        "https://8.8.8.8/v1",
        "https://[2606:4700::1111]/v1",
        "http://127.0.0.1:9000/v1",
        "http://127.8.8.8",
        "http://[::1]:9000",
        "http://localhost:11434/v1",
        "http://models.localhost",
        "http://ollama:11434/v1",
        "http://llm.internal",
        "http://gpu.local",
        "http://gpu.home.arpa",
        "http://vllm.models.svc.cluster.local/v1",
        "http://10.1.2.3",
        "http://172.31.0.1",
        "http://192.168.0.7:1234",
        "http://100.64.0.1",
        "http://[fd00::1]",
    ],
)
def test_an_address_is_https_or_near(address):
    assert checked_address(address) == address


def test_a_slash_at_the_end_is_dropped():
    assert checked_address("https://llm.example.com/v1/") == "https://llm.example.com/v1"


@pytest.mark.parametrize(
    "address",
    [
        *("http://llm.example.com", "http://8.8.8.8", "http://172.32.0.1", "http://[2606:4700::1111]"),
        *("http://metadata.google.internal", "http://metadata", "http://instance-data.ec2.internal", "http://Metadata"),
        *("http://llm.local.example.com", "http://internal.example.com", "http://localhost.example.com"),
        *("https://u@llm.example.com", "https://u:p@llm.example.com", "https://@llm.example.com"),
        *("https://llm.example.com#", "https://llm.example.com/#x", "https://llm.example.com?", "https://h.example/?a"),
        *("https://127.1", "https://2130706433", "https://0x7f.1", "http://0177.0.0.1", "https://1.2.3", "https://0x"),
        *("https://169.254.169.254", "https://0.0.0.0", "https://0.1.2.3", "https://240.0.0.1", "https://224.0.0.1"),
        *("https://[::ffff:a9fe:a9fe]", "http://[::ffff:127.0.0.1]", "https://[64:ff9b::a9fe:a9fe]"),
        *("https://[2002:a9fe:a9fe::]", "https://[2001::1]", "https://[::]", "https://[::7f00:1]"),
        *("https://[fe80::1]", "https://[fe80::1%25eth0]", "https://[fc00::1%25eth0]", "https://[ff02::1]"),
        *("https://h.example\\x", "https://h example", "https://h.example\n", "https://h.example\r\nX: y"),
        *(
            "ftp://h.example",
            "//h.example",
            "h.example",
            "",
            "https:",
            "https://",
            "https:///v1",
            "javascript:alert(1)",
        ),
        *("https://h.example:", "https://h.example:0", "https://h.example:99999", "https://h.example:x"),
        *("https://h.example:0443", "https://①②⑦.0.0.1", "https://bücher.example", "https://h.example."),
        *(
            "https://-h.example",
            "https://h..example",
            "https://h%2eexample",
            "https://[::1]evil.example",
            "https://[::1",
        ),
        "https://h.example/" + "a" * 1024,
    ],
)
def test_any_other_address_is_refused(address):
    with pytest.raises(InvalidRequest) as caught:
        checked_address(address)

    assert caught.value.param == "base_url"


@pytest.mark.parametrize("secret", ["", "two words", "sk-1\r\nHost: evil", "sk-\0", "schlüssel", "s" * 1001])
def test_a_key_that_does_not_fit_into_a_header_is_refused_and_not_repeated(secret):
    with pytest.raises(InvalidRequest) as caught:
        checked_secret(secret)

    assert caught.value.param == "secret"
    assert not secret or secret not in str(caught.value)


def test_any_other_key_is_taken_as_it_is():
    assert checked_secret("sk-1_2.3~") == "sk-1_2.3~"


@pytest.mark.parametrize(
    ("secret", "tail"), [("sk-012345678", "5678"), ("sk-01234567", ""), ("x", ""), ("s" * 90 + "wxyz", "wxyz")]
)
def test_the_last_four_characters_of_a_long_key_are_shown_and_nothing_of_a_short_one(secret, tail):
    assert tail_of(secret) == tail
