import re

import pytest

from api.docs import _FILES, _STATIC


@pytest.fixture
def site(shared_site):
    return shared_site


def test_the_page_may_load_nothing_but_our_own_files(site):
    answer = site.anonymous().get("/api/v1/docs")
    policy = answer.headers["Content-Security-Policy"]

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "require-trusted-types-for 'script'" in policy
    assert answer.headers["X-Frame-Options"] == "DENY"


def test_the_page_names_only_local_assets_and_no_inline_code(site):
    html = site.anonymous().get("/api/v1/docs").text
    linked = re.findall(r'(?:src|href)="([^"]+)"', html)

    assert linked
    assert not [link for link in linked if "//" in link]
    assert "<style" not in html
    assert not re.search(r"<script(?! src=)", html)
    assert not re.search(r"\son\w+=|\sstyle=", html)
    for link in linked:
        if link.endswith((".css", ".js")):
            assert site.anonymous().get(f"/api/v1/{link}").status_code == 200


def test_the_script_writes_text_and_never_markup():
    script = (_STATIC / "docs.js").read_text()

    for sink in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("):
        assert sink not in script


@pytest.mark.parametrize("name", ["..", "../wiring.py", "docs.html%00", "%2e%2e%2fwiring.py", "nothing.js", "docs.py"])
def test_a_name_is_not_a_path(site, name):
    assert site.anonymous().get(f"/api/v1/docs/{name}").status_code == 404


def test_every_file_is_served_with_its_type(site):
    for name, kind in _FILES.items():
        answer = site.anonymous().get(f"/api/v1/docs/{name}")
        assert answer.headers["Content-Type"] == kind
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
