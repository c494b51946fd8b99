"""Whose an address is."""

from contextlib import suppress
from ipaddress import ip_address
from urllib.parse import urlsplit

import pytest

from domain.network import Reach, UnusableHost, embedded_in, is_near, is_this_machine, is_whole, reach_of


@pytest.mark.parametrize(
    "text",
    [
        *("8.8.8.8", "1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255"),
        *("128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.167.255.255"),
        *("192.169.0.0", "192.0.1.0", "198.17.255.255", "198.20.0.0", "223.255.255.255"),
        *("2606:4700::1111", "2001:200::1", "2000::1", "3ffe::1"),
    ],
)
def test_what_is_given_to_everybody_is_public(text: str):
    assert reach_of(ip_address(text)) is Reach.PUBLIC


@pytest.mark.parametrize(
    "text",
    [
        *("127.0.0.1", "127.255.255.254", "::1"),
        *("10.0.0.0", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.255.255"),
        *("100.64.0.1", "100.127.255.255", "fc00::1", "fd12:3456::1", "198.18.0.7", "198.19.255.255"),
    ],
)
def test_this_machine_and_private_networks_are_near(text: str):
    assert reach_of(ip_address(text)) is Reach.NEAR


@pytest.mark.parametrize(
    "text",
    [
        *("0.0.0.0", "0.1.2.3", "0.255.255.255", "::"),
        *(
            "169.254.0.0",
            "169.254.169.254",
            "169.254.170.2",
            "169.254.255.255",
            "fe80::1",
            "febf::1",
            "fe80::a9fe:a9fe",
        ),
        *("224.0.0.1", "239.255.255.250", "ff02::1", "ff0e::1"),
        *("240.0.0.1", "255.255.255.255", "fec0::1", "4000::1", "100::1", "5f00::1", "e000::1", "200::1"),
        *("192.0.0.1", "192.0.0.192", "192.88.99.1", "2001:1::1", "2001:2::1", "2001:20::1", "2001:1ff::1"),
        *("192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1", "3fff:fff::1"),
        *("100.100.100.200", "168.63.129.16", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:42::42"),
        *("fd00::1%eth0", "2606:4700::1111%1", "::1%lo", "::ffff:8.8.8.8%1"),
        *("::ffff:0:8.8.8.8", "64:ff9b:2::8.8.8.8", "64:ff9b:1:a9fe:a9:fe00::", "64:ff9b:1:1::8.8.8.8"),
    ],
)
def test_what_is_nobodys_is_never_reached(text: str):
    assert reach_of(ip_address(text)) is Reach.NEVER


DISGUISES = ("::ffff:{}", "::{}", "64:ff9b::{}", "64:ff9b:1::{}")


@pytest.mark.parametrize("form", DISGUISES)
@pytest.mark.parametrize(
    ("inner", "reach"),
    [
        ("8.8.8.8", Reach.PUBLIC),
        ("127.0.0.1", Reach.NEVER),
        ("10.0.0.1", Reach.NEVER),
        ("169.254.169.254", Reach.NEVER),
        ("0.0.0.2", Reach.NEVER),
        ("255.255.255.255", Reach.NEVER),
    ],
)
def test_an_ipv4_address_in_disguise_has_to_be_public(form: str, inner: str, reach: Reach):
    address = ip_address(form.format(inner))

    assert [str(it) for it in embedded_in(address)] == [inner]
    assert reach_of(address) is reach


@pytest.mark.parametrize(
    ("text", "inner", "reach"),
    [
        ("2002:808:808::1", ["8.8.8.8"], Reach.PUBLIC),
        ("2002:a9fe:a9fe::", ["169.254.169.254"], Reach.NEVER),
        ("2002:7f00:1::1", ["127.0.0.1"], Reach.NEVER),
        ("2002:c0a8:1::1", ["192.168.0.1"], Reach.NEVER),
        ("2001:0:808:808::f7f7:f7f7", ["8.8.8.8", "8.8.8.8"], Reach.PUBLIC),
        ("2001:0:a9fe:a9fe::f7f7:f7f7", ["169.254.169.254", "8.8.8.8"], Reach.NEVER),
        ("2001:0:808:808::5601:5601", ["8.8.8.8", "169.254.169.254"], Reach.NEVER),
        ("2001::1", ["0.0.0.0", "255.255.255.254"], Reach.NEVER),
    ],
)
def test_tunnels_are_judged_by_both_of_their_ends(text: str, inner: list[str], reach: Reach):
    address = ip_address(text)

    assert [str(it) for it in embedded_in(address)] == inner
    assert reach_of(address) is reach


@pytest.mark.parametrize("text", ["8.8.8.8", "::", "::1", "2606:4700::1111", "fd00::1"])
def test_most_addresses_are_only_themselves(text: str):
    assert embedded_in(ip_address(text)) == ()


@pytest.mark.parametrize(
    ("host", "near"),
    [
        *((host, True) for host in ("127.0.0.1", "127.8.8.8", "::1", "10.1.2.3", "fd00::1", "100.64.0.1")),
        *((host, True) for host in ("localhost", "ollama", "my_model", "llm.internal", "gpu.local", "x.home.arpa")),
        *((host, True) for host in ("models.localhost", "vllm.models.svc.cluster.local")),
        *((host, False) for host in ("8.8.8.8", "2606:4700::1111", "llm.example.com", "1.2.3.4.example.com")),
        *((host, False) for host in ("local.example.com", "localhost.example.com", "xlocal.example", "notinternal.de")),
    ],
)
def test_a_host_tells_by_its_text_whether_it_is_near(host: str, near: bool):
    assert is_near(host) is near


@pytest.mark.parametrize(
    "host",
    [
        *("", ".", "a..b", ".a", "a.", "-a.example", "a-.example", "a b", "a\\b", "a@b", "a:1", "[::1]", "a/b", "a%2e"),
        *("LOCALHOST", "bücher.example", "①②⑦.0.0.1", "127。0。0。1", "a" * 64 + ".example", "a." * 127 + "example"),
        *("127.1", "2130706433", "0177.0.0.1", "0x7f000001", "0x7f.0.0.1", "1.2.3.4.5", "a.1", "a.0x"),
        *("169.254.169.254", "0.0.0.0", "::", "fe80::1", "fe80::1%eth0", "fd00::1%eth0", "fd00:ec2::254", "224.0.0.1"),
        *("::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1", "2001:0:808:808::f7f7:f7f7", "::8.8.8.8"),
        *("metadata", "metadata.google.internal", "instance-data", "instance-data.ec2.internal"),
    ],
)
def test_some_texts_are_no_host_that_anybody_has(host: str):
    with pytest.raises(UnusableHost):
        is_near(host)


@pytest.mark.parametrize(
    ("host", "this"),
    [
        *((host, True) for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost")),
        *((host, False) for host in ("10.0.0.1", "ollama", "localhost.example.com", "::ffff:127.0.0.1", "", "127.1")),
    ],
)
def test_only_loopback_is_this_machine(host: str, this: bool):
    assert is_this_machine(host) is this


@pytest.mark.parametrize(
    "netloc",
    ["h.example", "H.example", "h.example:8443", "8.8.8.8:80", "[::1]", "[::1]:8000", "h.example:65535"],
)
def test_a_host_and_its_port_may_be_all_there_is(netloc: str):
    parts = urlsplit(f"https://{netloc}/v1")

    assert is_whole(netloc, parts.hostname or "", parts.port)


@pytest.mark.parametrize(
    "netloc",
    [
        *("u@h.example", "@h.example", "h.example:", "h.example:0", "h.example:080", "[::1].example", "x[::1]"),
        *("h%2eexample", "[fe80::1%25eth0]", "h.example:+80", "[h.example]"),
    ],
)
def test_anything_besides_is_too_much(netloc: str):
    with suppress(ValueError):  # newer parsers refuse some themselves
        parts = urlsplit(f"https://{netloc}/v1")

        assert not is_whole(netloc, parts.hostname or "", parts.port)
