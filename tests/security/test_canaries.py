"""Secrets stay where they belong: none is in a log, a metric, an error, a mail or, in clear, in the database."""

import re
import tempfile
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.security.canaries import Canaries, made, of_token
from tests.security.canary_scene import ADA, FAULTS, HOW, Scene
from tests.servers.caller import Caller
from tests.servers.program import wait_until
from tests.servers.redis import RedisServer
from tests.servers.scripted_dify import ScriptedDify
from tests.servers.scripted_provider import ScriptedProvider
from tests.servers.smtp import SmtpServer

pytestmark = pytest.mark.xdist_group("canaries")

KEPT = ("column messages.", "column sessions.", "file parley.db", "file journal/", "answer GET /sessions")
"""Where the text of a session is, because its owner wants it there."""
PLACES = ("log", "metrics", "check", "mail 000", "column audit_log.after", "column outbox.email", "file parley.db")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folders = [tmp_path_factory.mktemp(name) for name in ("gateway", "provider", "smtp", "dify")]
    with tempfile.TemporaryDirectory(prefix="redis-") as short:
        provider = ScriptedProvider(folders[1]).run()
        dify = ScriptedDify(folders[3])
        dify.run()
        smtp = SmtpServer(folders[2], "none", None, "login").run()
        redis = RedisServer(Path(short))
        redis.begin()
        scene = Scene(folders[0], provider, dify, smtp, redis).start()
        yield scene
        assert scene.gateway.stop() == 0
        for program in (redis, smtp, dify, provider):
            program.stop()


def test_no_secret_is_where_it_does_not_belong(scene: Scene) -> None:
    _live_with_an_account(scene)
    entered = _enter_a_provider_key(scene)
    _use_keys(scene)
    _chat(scene)
    _speak_every_dialect(scene)
    _be_guarded(scene)
    _make_images(scene)
    _reload(scene)
    _administer(scene)
    _call_with_the_provider_key(scene, entered)
    _type_secrets_into_everything(scene)
    _speak_badly(scene)
    _break_the_database(scene)
    places = scene.everywhere()

    leaks = scene.canaries.leaks(places)
    assert not leaks, "\n".join(leaks)
    assert set(PLACES) <= places.keys()
    assert {400, 401, 403, 404, 429, 500, 502, 503, 504} <= scene.statuses
    assert made("text of a session").encode() in places["column messages.content"], "the search sees nothing"
    assert not re.search(rb'[":]\d{6}[",]', places["log"]), "a one-time code"


def _live_with_an_account(scene: Scene) -> None:
    new, good, nobody = scene.canaries.new, scene.good, scene.nobody
    password = f"{new('the first password')} ü+/%"
    order = {"email": ADA, "password": password, "name": "Ada"}
    token = scene.mailed("token to confirm", ADA, lambda: good(nobody, "POST", "/auth/register", order))
    good(nobody, "POST", "/auth/confirm", {"token": token})
    scene.ask(nobody, "POST", "/auth/confirm", {"token": token})
    for weak in (
        f"{new('a password that is too long')}{'ü' * 100}",
        f"{new('one with the address in it')} bob@example.org",
    ):
        scene.ask(nobody, "POST", "/auth/register", {"email": "bob@example.org", "password": weak})
    scene.ask(nobody, "POST", "/auth/register", {**order, "invite": new("an invitation that is none")})
    scene.ask(nobody, "POST", "/auth/login", {"email": ADA, "password": f"{new('a wrong password')} guess"})
    scene.ask(nobody, "POST", "/auth/login", {"email": f"{new('a password as address')} ü", "password": password})
    scene.ask(nobody, "POST", "/auth/login", {"email": ADA, "password": [password], "cookie": password})
    ada = nobody.bearing(scene.log_in("ada", password)["access_token"])
    _use_the_cookie(scene, password)
    _use_a_second_factor(scene, ada, password)
    changed = f"{new('the second password')} ü+/%"
    scene.ask(
        ada, "POST", "/auth/password/change", {"current_password": new("not the old one"), "new_password": changed}
    )
    good(ada, "POST", "/auth/password/change", {"current_password": password, "new_password": changed})
    scene.ask(ada, "PATCH", "/me", {"email": "ada2@example.org", "password": new("a wrong one for an address")})
    scene.ask(ada, "DELETE", "/me", {"password": new("a wrong one to leave")})
    reset = scene.mailed("token to reset", ADA, lambda: good(nobody, "POST", "/auth/password/forgot", {"email": ADA}))
    for last in ("tooshort", f"{new('the last password')} ü+/%", f"{new('one too many')} ü+/%"):
        scene.ask(nobody, "POST", "/auth/password/reset", {"token": reset, "password": last})
    scene.ask(ada, "GET", "/me")


def _use_the_cookie(scene: Scene, password: str) -> None:
    answer = Caller(scene.gateway.port).call(
        "POST",
        "/auth/login",
        {"email": ADA, "password": password, "cookie": True},
        {"Sec-Fetch-Site": "same-origin"},
    )
    sid = str(answer.cookie("__Host-sid"))
    scene.canaries.add("the cookie", of_token(sid))
    csrf = scene.canaries.add("the token against forgery", answer.json["csrf_token"])
    browser = Caller(scene.gateway.port, {"Cookie": f"__Host-sid={sid}", "Sec-Fetch-Site": "same-origin"})
    scene.good(browser, "PATCH", "/me", {"name": "Ada L."}, **{"X-CSRF-Token": csrf})
    scene.ask(browser, "PATCH", "/me", {"name": "no"}, **{"X-CSRF-Token": scene.canaries.new("a forged token")})
    scene.ask(browser, "PATCH", "/me", {"name": "no"}, **{"Sec-Fetch-Site": "cross-site", "X-CSRF-Token": csrf})
    scene.good(browser, "POST", "/auth/logout", **{"X-CSRF-Token": csrf})
    scene.ask(browser, "GET", "/me")


def _use_a_second_factor(scene: Scene, ada: Caller, password: str) -> None:
    secret = scene.canaries.add("secret of the second factor", scene.good(ada, "POST", "/me/totp")["secret"])
    scene.ask(ada, "POST", "/me/totp/confirm", {"code": scene.canaries.new("a wrong code")})
    confirmed = scene.good(ada, "POST", "/me/totp/confirm", {"code": scene.code(secret)})
    codes = confirmed["recovery_codes"]
    for number, code in enumerate(codes):
        scene.canaries.add(f"recovery code {number}", code)
    scene.ask(scene.nobody, "POST", "/auth/login", {"email": ADA, "password": password})
    scene.log_in("ada, by a recovery code", password, code=codes[0])
    scene.ask(ada, "POST", "/auth/reauthenticate", {"password": password, "code": codes[0]})
    scene.good(ada, "POST", "/auth/reauthenticate", {"password": password, "code": codes[1]})
    scene.good(ada, "DELETE", "/me/totp")


def _use_keys(scene: Scene) -> None:
    made_one = scene.good(scene.admin, "POST", "/keys", {"name": "one"})
    rotated = scene.good(scene.admin, "POST", f"/keys/{made_one['id']}/rotate", {"overlap_seconds": 0})
    revoked = scene.good(scene.admin, "POST", "/keys", {"name": "two"})
    scene.good(scene.admin, "DELETE", f"/keys/{revoked['id']}")
    for name, key in (("a replaced key", made_one), ("its successor", rotated), ("a revoked key", revoked)):
        scene.canaries.add(name, of_token(key["key"]))
        caller = scene.nobody.bearing(key["key"])
        scene.ask(caller, "GET", "/key", **{"X-Request-Id": key["key"], "Idempotency-Key": key["key"]})
        scene.ask(scene.nobody, "GET", f"/models?api_key={key['key']}")
        scene.ask(scene.nobody, "GET", "/key", **{"X-Api-Key": key["key"], "Authorization": f"Basic {key['key']}"})
        scene.ask(scene.admin, "GET", f"/keys/{key['key']}")
    scene.canaries.add("a malformed key", made("malformed"))
    scene.ask(scene.nobody.bearing(f"parley_live_0123456789_{made('malformed')}"), "GET", "/key")
    scene.ask(scene.nobody.bearing(revoked["key"][:-1] + "~"), "GET", "/key")
    scene.gateway.cli("users", "create", "eve@example.org", text=f"{scene.canaries.new('by command')} ü\n")


def _chat(scene: Scene) -> None:
    prompt, text = scene.canaries.new("a prompt"), scene.canaries.new("text of a session", *KEPT)
    body = {"messages": [{"role": "system", "content": prompt}, {"role": "user", "content": f"{prompt} ü"}]}
    idempotency = scene.canaries.new("an idempotency key")
    for how in HOW:
        stream = how == "streamed"
        for model in ("echo/echo", "scripted/payload-echo", *(f"{how}-{fault}/{fault}" for fault in FAULTS)):
            scene.ask(
                scene.admin,
                "POST",
                "/chat/completions",
                {**body, "model": model, "stream": stream, "user": prompt},
                **{"Idempotency-Key": f"{idempotency}-{model}-{stream}", "X-Request-Id": f"{prompt} junk"},
            )
        scene.ask(scene.admin, "POST", "/chat/completions", {**body, "model": "scripted/ok", "nonsense": prompt})
        scene.ask(scene.admin, "POST", "/chat/completions", {**body, "model": "openai/key-echo-400", "stream": stream})
    session = scene.good(scene.admin, "POST", "/sessions", {"config": {"system_prompt": text}, "model": "echo/echo"})
    for path in ("/chat", "/chat/stream"):
        scene.ask(scene.admin, "POST", path, {"session_id": session["id"], "message": f"{text} ü"})
    scene.ask(scene.admin, "GET", f"/sessions/{session['id']}/messages")


def _speak_every_dialect(scene: Scene) -> None:
    """Each of a number of ways to fail at a provider of its own, which nothing before has closed."""
    prompt = scene.canaries.new("a prompt in another dialect")
    wrong = scene.canaries.new("in place of what should be there")
    said = [{"role": "user", "content": f"{prompt} ü"}]
    bodies = {
        "/messages": {"messages": said, "max_tokens": 99, "system": prompt, "metadata": {"user_id": prompt}},
        "/responses": {"input": said, "instructions": prompt, "metadata": {"a": prompt}},
        "/embeddings": {"input": [prompt, f"{prompt} ü"], "user": prompt},
        "/messages/count_tokens": {"messages": said},
    }
    key = scene.canaries.new("an idempotency key of another dialect")
    for path, body in bodies.items():
        for stream in (False, True) if path in {"/messages", "/responses"} else (None,):
            asked = body if stream is None else {**body, "stream": stream}
            for model in ("echo/echo", "several/key-echo-400", "several/ok", "scripted/key-echo-500", "dify/app"):
                headers = {"Idempotency-Key": f"{key}-{model}-{stream}"}
                scene.ask(scene.admin, "POST", path, {**asked, "model": model}, **headers)
        for field in body:  # only values: the name of a field that is not accepted is told
            scene.ask(scene.admin, "POST", path, {**body, "model": "echo/echo", field: [wrong, {"type": wrong}]})
    caller = Caller(scene.gateway.port, {"x-api-key": scene.canaries.new("a wrong key in its other header")})
    scene.ask(caller, "POST", "/messages", {**bodies["/messages"], "model": "echo/echo"})
    _retire_credentials(scene)


def _retire_credentials(scene: Scene) -> None:
    """All of the several, one after the other, and the one of Dify; the status of an administrator tells of it."""
    ask = {"model": "several/key-echo-401", "messages": [{"role": "user", "content": "hi"}]}
    for _ in range(4):
        scene.ask(scene.admin, "POST", "/chat/completions", ask)
    for script in ("auth", "key-in-message", "large", "internal_server_error"):
        said = [{"role": "user", "content": f"script:{script}"}]
        for stream in (False, True):
            scene.ask(
                scene.admin, "POST", "/chat/completions", {"model": "dify/app", "messages": said, "stream": stream}
            )
    wait_until(lambda: b"several" in scene.ask(scene.admin, "GET", "/admin/status").raw, 20, "the state of a worker")


def _be_guarded(scene: Scene) -> None:
    for name in ("a word of a guardrail", "a word that is masked", "an expression that blocks"):
        text = f"well {scene.canaries.secrets[name]} then"
        scene.canaries.exceptions[name] += ("answer POST /embeddings", "answer POST /images")
        for path, body in {
            "/chat/completions": {"messages": [{"role": "user", "content": text}]},
            "/messages": {"messages": [{"role": "user", "content": text}], "max_tokens": 99},
            "/responses": {"input": text},
            "/embeddings": {"input": text},
            "/images/generations": {"prompt": text},
        }.items():
            scene.ask(scene.admin, "POST", path, {**body, "model": "echo/echo"})


def _make_images(scene: Scene) -> None:
    prompt = scene.canaries.new("the prompt of an image")
    kept = ("column image_jobs.prompt", "file parley.db", "answer GET /images")
    of_job = scene.canaries.new("the prompt of an image in the background", *kept)
    more = {"negative_prompt": prompt, "style": prompt, "user": prompt, "safety_identifier": prompt}
    for model in ("echo/echo", "scripted/picture", "scripted/400", "scripted/picture-at-metadata", "openai/auth"):
        scene.ask(scene.admin, "POST", "/images/generations", {"model": model, "prompt": prompt})
        scene.ask(scene.admin, "POST", "/images/generations", {"model": model, "prompt": prompt, **more})
        scene.ask(scene.admin, "POST", "/images", {"model": model, "prompt": of_job})
    jobs = "/images?limit=100"
    wait_until(lambda: not _running(scene.good(scene.admin, "GET", jobs)), 40, "the end of the images")
    scene.ask(scene.admin, "GET", f"/files/{prompt}/content")
    scene.ask(scene.admin, "GET", f"/files?purpose={prompt}")


def _running(page: dict[str, Any]) -> bool:
    return any(job["status"] in {"queued", "running"} for job in page["data"])


def _reload(scene: Scene) -> None:
    """Mistakes that put a secret where it does not belong are told without it."""
    typed = scene.canaries.new("typed into the file")
    for table in (
        f'[providers.wrong]\nbase_url = "https://u:{typed}@example.org/v1"\n',
        f'[providers.wrong]\nbase_url = "https://example.org/v1"\napi_key = "{typed}"\n',
        f'[providers.wrong]\nbase_url = "https://example.org/v1"\napi_key_env = "{typed}"\n',
        f'[providers.wrong]\nbase_url = "https://example.org/v1"\ncredentials = ["{typed}"]\n',
        f'[providers.wrong]\nbase_url = "https://example.org/v1"\ncredentials = [{{api_key = "{typed}"}}]\n',
        f'[providers.wrong]\nbase_url = "https://example.org/v1"\ncredentials = [{{api_key_env = "{typed}"}}]\n',
    ):
        scene.mistake(table)


def _enter_a_provider_key(scene: Scene) -> str:
    secret = scene.canaries.new("a key that an administrator entered")
    entered = {"provider": "vllm", "name": "ours", "secret": secret, "base_url": scene.provider.base_url}
    scene.good(scene.admin, "POST", "/admin/providers/credentials", entered)
    for wrong in ({"provider": "nobody"}, {"base_url": f"http://u:{secret}@10.0.0.1/"}, {"secret": f"{secret} ü"}):
        scene.ask(scene.admin, "POST", "/admin/providers/credentials", {**entered, **wrong})
    return secret


def _call_with_the_provider_key(scene: Scene, secret: str) -> None:
    ask = {"model": "vllm/ok", "messages": [{"role": "user", "content": "hi"}]}
    wait_until(lambda: scene.ask(scene.admin, "POST", "/chat/completions", ask).status == 200, 20, "the entered key")
    assert scene.provider.bills()[-1]["headers"]["authorization"] == f"Bearer {secret}"
    for model in ("key-echo-400", "key-echo-422", "key-echo-500", "key-echo-401"):
        for stream in (False, True):
            scene.ask(scene.admin, "POST", "/chat/completions", {**ask, "model": f"vllm/{model}", "stream": stream})


def _administer(scene: Scene) -> None:
    carl = {"email": "carl@example.org"}
    token = scene.mailed(
        "token of an invitation", carl["email"], lambda: scene.good(scene.admin, "POST", "/admin/invitations", carl)
    )
    order = {**carl, "password": f"{scene.canaries.new('of carl')} ü", "invite": token}
    scene.good(scene.nobody, "POST", "/auth/register", order)
    for method, path, _ in scene.operations():
        if method == "GET" and path.startswith(("/admin", "/auth", "/me", "/key", "/team", "/usage")):
            scene.ask(scene.admin, method, path)


def _type_secrets_into_everything(scene: Scene) -> None:
    scene.spray(scene.nobody, scene.canaries.new("typed by nobody"))
    wrong = scene.canaries.new("a wrong bearer token")
    scene.spray(scene.nobody.bearing(wrong), wrong, Cookie=f"__Host-sid={wrong}; other={wrong}")
    # What an administrator types into a name is a name, and kept.
    named = scene.canaries.new("typed by an administrator", "column ", "file parley.db", "answer GET ")
    scene.spray(scene.admin, named, **{"Idempotency-Key": named})
    scene.ask(scene.nobody, "GET", f"/auth/oidc/callback?state={wrong}&code={wrong}", Cookie=f"__Host-oidc={wrong}")
    scene.ask(scene.nobody, "GET", f"/nowhere/{wrong}")
    scene.ask(Caller(scene.gateway.port, prefix=""), "GET", f"/metrics?token={wrong}", Authorization=f"Bearer {wrong}")


def _speak_badly(scene: Scene) -> None:
    odd = scene.canaries.new("in a request that cannot be read")
    host = "Host: parley"
    scene.say([f"GET /api/v1/models?key={odd} HTTP/9.1", host])
    scene.say([f"GET /api/v1/models/{odd} and more HTTP/1.1", host])
    scene.say([f"{odd.upper()} /api/v1/models HTTP/1.1", host])
    scene.say(["GET /api/v1/models HTTP/1.1", host, f"Authorization : Bearer {odd}"])
    scene.say(["GET /api/v1/models HTTP/1.1", host, f"Bearer {odd}"])
    scene.say(["GET /api/v1/models HTTP/1.1", f"Host: {odd}@parley"])
    scene.say(["GET /api/v1/models HTTP/1.1", host, f"Authorization: Bearer {odd * 400}"])
    scene.say([f"GET /api/v1/{odd * 400} HTTP/1.1", host])
    scene.say(["POST /api/v1/auth/login HTTP/1.1", host, f"Content-Length: {odd}"])
    scene.say(["POST /api/v1/auth/login HTTP/1.1", host, f"Transfer-Encoding: {odd}"])
    scene.say([f"GET http://{odd}:{odd}@elsewhere/ HTTP/1.1", host])
    for body in (f'{{"email": "{odd}', f'{{"email": "{odd}", "email": "{odd}"}}', f'"{odd}"', f"password={odd}"):
        scene.ask(scene.nobody, "POST", "/auth/login", body.encode(), **{"Content-Type": "application/json"})
    scene.ask(scene.nobody, "POST", "/auth/login", f"password={odd}".encode())


def _break_the_database(scene: Scene) -> None:
    lost = scene.canaries.new("while the database is broken")
    login = {"email": ADA, "password": f"{lost} ü"}
    with scene.nonsense_about(ADA):  # a row that makes no sense is an error that nobody expects
        scene.ask(scene.nobody, "POST", "/auth/login", login, **{"X-Request-Id": lost[:9], "X-Api-Key": lost})
        scene.ask(scene.nobody, "POST", "/auth/register", {**login, "invite": lost})
        scene.ask(scene.admin, "GET", f"/admin/users?limit=1&token={lost}")
        scene.ask(scene.admin, "GET", "/admin/users")
    with scene.without_accounts():
        scene.ask(scene.nobody, "POST", "/auth/login", login)
        scene.ask(scene.nobody, "POST", "/auth/password/reset", {"token": lost, "password": login["password"]})
        scene.ask(scene.nobody.bearing(f"parley_live_0123456789_{lost}"), "GET", "/key")


@pytest.mark.parametrize("form", ["{}", "x{}y", "part"])
def test_the_search_finds_a_secret_in_each_of_its_forms(form: str) -> None:
    canaries = Canaries()
    secret = canaries.new("any", "kept ")
    text = secret[5:23] if form == "part" else form.replace("{}", secret)
    encoded = text.encode()

    places = {"log": encoded, "kept here": encoded} if form == "part" else _encoded(encoded)

    assert canaries.leaks(places) == [f"any: {place}" for place in places if place != "kept here"]


def _encoded(text: bytes) -> dict[str, bytes]:
    return {
        "raw": text,
        "hex": text.hex().encode(),
        "base64": b64encode(text),
        "base64 for addresses": urlsafe_b64encode(text),
        "two bytes later": b64encode(b"ab" + text),
    }
