"""Settings come from the environment and one strict file; a typing mistake never passes silently."""

from pathlib import Path

import pytest

from infrastructure.configuration import ConfigurationError
from infrastructure.settings import Settings, load


@pytest.fixture(autouse=True)
def empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in ("PARLEY_BIND", "PARLEY_HOME", "PARLEY_CONFIG", "PARLEY_WORKERS", "DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def with_file(text: str) -> Settings:
    Path("parley.toml").write_text(text)
    return load()


def test_an_empty_environment_gives_the_embedded_defaults(empty_folder: Path) -> None:
    settings = load()

    assert settings.bind == "127.0.0.1:8080"
    assert settings.home == empty_folder / "var"
    assert settings.workers == 1
    assert settings.embedded
    assert settings.redis_url is None


@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+pysqlite"])
def test_a_relative_sqlite_file_is_in_the_folder_of_the_caller(
    monkeypatch: pytest.MonkeyPatch, empty_folder: Path, scheme: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"{scheme}:///own.db?pool_timeout=1")

    assert load().database_url == f"{scheme}:///{empty_folder}/own.db?pool_timeout=1"


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///", "sqlite:////srv/own.db", "sqlite:///:memory:", "mysql+pymysql://u:p@h/d"]
)
def test_other_addresses_of_a_database_stay_as_they_are(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("DATABASE_URL", url)

    assert load().database_url == url


def test_more_than_one_worker_needs_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_WORKERS", "2")

    with pytest.raises(ConfigurationError, match="REDIS_URL"):
        load()

    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:6379/0")
    assert load().workers == 2


@pytest.mark.parametrize("secret", ["short", "a" * 64, "changeme-changeme-changeme-changeme-1234"])
def test_a_weak_secret_stops_the_start(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    monkeypatch.setenv("PARLEY_SECRET_KEY", secret)

    with pytest.raises(ConfigurationError, match="32 random bytes"):
        load()


def test_no_secret_is_in_the_repr_or_in_the_effective_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    canaries = {
        "PARLEY_SECRET_KEY": "canary-1-q8s7d6f5g4h3j2k1l9z8x7c6v5b4",
        "PARLEY_METRICS_TOKEN": "canary-2-x7c6v5b4n3m2",
        "DATABASE_URL": "mysql+pymysql://parley:canary-3@127.0.0.1/parley",
        "REDIS_URL": "redis://:canary-4@127.0.0.1/0",
        "OPENAI_API_KEY": "canary-5",
    }
    for name, value in canaries.items():
        monkeypatch.setenv(name, value)

    settings = load()

    assert "canary" not in repr(settings)
    assert "canary" not in str(settings.effective())


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("[deadline]\nconnect = 1", "deadline"),
        ("[deadlines]\nconect = 1", "deadlines.conect"),
        ("[deadlines]\nconnect = -1", "deadlines.connect"),
        ("[deadlines]\nconnect = 'soon'", "deadlines.connect"),
        ("[providers.x]\nbase_url = 'http://127.0.0.1/v1'\nkey = 'sk'", "providers.x.key"),
        ("[providers.X]\nbase_url = 'http://127.0.0.1/v1'", "providers.X"),
        ("[providers.x]\nbase_url = 'file:///etc/passwd'", "providers.x.base_url"),
        ("[prices.'x/y']\ninput = 0.1", "prices.x/y.output"),
        ("[prices.small]\ninput = 0.1\noutput = 0.1", "prices.small"),
        ("[prices.'x/y']\ninput = 0.1\noutput = -1", "prices.x/y.output"),
        ("[prices.'x/y']\nimage = -1", "prices.x/y.image"),
        ("[prices.'x/y']\nimages = 1", "prices.x/y.images"),
        ("[prices.'x/y']\ninput = 0.1\noutput = true", "prices.x/y.output"),
        ("[prices.'x/y']\ninput = 0.1\noutput = nan", "prices.x/y.output"),
        ("[prices.'x/y']\ninput = 0.1\noutput = inf", "prices.x/y.output"),
        ("[retries]\nper_deployment = 5", "retries.per_deployment"),
        ("[models.small]\ncontext_window = 1", "models.small"),
        ("[models.'x/y']\ncontext_window = 0", "models.x/y.context_window"),
        ("[models.'x/y']\ncapabilities = ['flying']", "models.x/y.capabilities.0"),
    ],
)
def test_the_message_says_where_the_file_is_wrong(text: str, where: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        with_file(text)

    assert f"{where}:" in str(caught.value)


def test_a_file_that_is_not_toml_is_refused_with_the_line() -> None:
    with pytest.raises(ConfigurationError, match="line 1"):
        with_file("[deadlines\n")


def test_a_named_file_must_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_CONFIG", "elsewhere.toml")

    with pytest.raises(ConfigurationError, match="No such file"):
        load()


def test_an_image_has_a_price_of_its_own_that_may_be_the_only_one() -> None:
    prices = with_file("[prices.'x/y']\nimage = 0.04\n[prices.'x/z']\ninput = 5\noutput = 40\nimage = 0").prices

    assert (prices["x/y"].input, prices["x/y"].output, prices["x/y"].image) == (0, 0, 40_000_000)
    assert (prices["x/z"].output, prices["x/z"].image) == (40 * 10**9, 0)


def test_prices_are_exact_nano_units() -> None:
    price = with_file("[prices.'x/y']\ninput = 0.15\ncached_input = 0.075\noutput = 0.60").prices["x/y"]

    assert (price.input, price.cached_input, price.output) == (150_000_000, 75_000_000, 600_000_000)


@pytest.mark.parametrize("bind", ["0.0.0.0:80", "[::1]:8080", "localhost:65535"])
def test_an_address_may_be_of_either_kind_or_a_name(monkeypatch: pytest.MonkeyPatch, bind: str) -> None:
    monkeypatch.setenv("PARLEY_BIND", bind)

    assert load().bind == bind


def test_money_in_force_is_told_in_the_units_of_the_file() -> None:
    told = with_file("[prices.'x/y']\ninput = 0.15\noutput = 0.60\n[limits]\noutage_cap = 2.5").effective()

    assert (told["prices"]["x/y"]["input"], told["prices"]["x/y"]["output"]) == (0.15, 0.6)
    assert told["limits"]["outage_cap"] == 2.5


def test_the_hash_changes_with_the_configuration_and_not_with_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    before = load().config_hash
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")

    assert load().config_hash == before
    assert with_file("[deadlines]\nidle = 7").config_hash != before


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", 600),
        ("[deadlines]\ntotal = 90", 90),
        ("[deadlines]\ntotal = 90\n[providers.slow.deadlines]\ntotal = 1200", 1200),
        ("[deadlines]\ntotal = 90\n[providers.fast.deadlines]\ntotal = 5", 90),
    ],
)
def test_a_request_may_take_as_long_as_the_most_patient_provider(text: str, seconds: float) -> None:
    settings = with_file(text)

    assert settings.total_seconds == seconds
    assert settings.turn_seconds > seconds


OIDC = '[oidc]\nissuer = "https://id.example.org"\nclient_id = "parley"\n'


def test_open_registration_beside_single_sign_on_needs_a_mail_server(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="SMTP_HOST"):
        with_file(OIDC + '[accounts]\nregistration = "open"\n')

    monkeypatch.setenv("SMTP_HOST", "127.0.0.1")
    monkeypatch.setenv("SMTP_FROM", "parley@example.org")
    assert with_file(OIDC + '[accounts]\nregistration = "open"\n').sends_mail


@pytest.mark.parametrize(("oidc", "mails", "fixed"), [(OIDC, False, True), (OIDC, True, False), ("", False, False)])
def test_beside_single_sign_on_addresses_change_only_where_they_can_be_confirmed(
    monkeypatch: pytest.MonkeyPatch, oidc: str, mails: bool, fixed: bool
) -> None:
    monkeypatch.setenv("SMTP_HOST", "127.0.0.1" if mails else "")
    monkeypatch.setenv("SMTP_FROM", "parley@example.org")

    assert with_file(oidc).fixed_addresses is fixed


def test_how_parley_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_PUBLIC_URL", "https://ai.example.org:8443/parley/")
    monkeypatch.setenv("PARLEY_PATH_PREFIX", "/parley/")
    monkeypatch.setenv("PARLEY_TRUSTED_HOSTS", "AI.example.org, .example.net")
    monkeypatch.setenv("PARLEY_TRUSTED_PROXY", "1")
    monkeypatch.setenv("PARLEY_CORS_ORIGINS", "https://app.example.org,http://127.0.0.1:5173")

    web = load().web

    assert (web.public_url, web.prefix, web.secure) == ("https://ai.example.org:8443/parley", "/parley", True)
    assert web.origin == "https://ai.example.org:8443"
    assert web.trusted_hosts == ("ai.example.org", ".example.net")
    assert web.trusted_proxies == ("127.0.0.0/8", "::1/128")
    assert web.cors_origins == ("https://app.example.org", "http://127.0.0.1:5173")


def test_by_default_it_is_reached_where_it_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_PATH_PREFIX", "/parley")

    web = load().web

    assert (web.public_url, web.secure, web.trusted_proxies) == ("http://127.0.0.1:8080/parley", False, ())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PARLEY_BIND", "banana"),
        ("PARLEY_BIND", ":8080"),
        ("PARLEY_BIND", "127.0.0.1:"),
        ("PARLEY_BIND", "127.0.0.1:65536"),
        ("PARLEY_BIND", "::1:8080"),
        ("PARLEY_BIND", "http://127.0.0.1:8080"),
        ("PARLEY_PATH_PREFIX", "parley"),
        ("PARLEY_PATH_PREFIX", "/a//b"),
        ("PARLEY_PUBLIC_URL", "ai.example.org"),
        ("PARLEY_PUBLIC_URL", "https://user:word@ai.example.org"),
        ("PARLEY_TRUSTED_PROXY", "nginx"),
        ("PARLEY_TRUSTED_PROXY", "10.0.0.1/8"),
        ("PARLEY_CORS_ORIGINS", "*"),
        ("PARLEY_CORS_ORIGINS", "null"),
        ("PARLEY_CORS_ORIGINS", "https://app.example.org/"),
        ("PARLEY_METRICS_TOKEN", "short"),
        ("SMTP_HOST", "without a sender"),
    ],
)
def test_an_odd_address_stops_the_start(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(ConfigurationError):
        load()


def test_keys_are_given_newest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    new, old = "q8s7d6f5g4h3j2k1l9z8x7c6v5b4n3m2", "m2n3b4v5c6x7z8l9k1j2h3g4f5d6s7q8"
    monkeypatch.setenv("PARLEY_SECRET_KEY", f"{new}, {old}")

    assert load().secret_keys == (new, old)


@pytest.mark.parametrize(("tls", "port"), [("starttls", 587), ("tls", 465), ("none", 587)])
def test_the_port_of_the_mail_server_follows_from_its_kind_of_encryption(
    monkeypatch: pytest.MonkeyPatch, tls: str, port: int
) -> None:
    for name, value in {"HOST": "mail", "FROM": "parley@example.org", "TLS": tls, "PASSWORD": "canary-word"}.items():
        monkeypatch.setenv(f"SMTP_{name}", value)

    smtp = load().smtp

    assert smtp is not None
    assert (smtp.port, smtp.tls, smtp.password) == (port, tls, "canary-word")
    assert "canary" not in repr(smtp)


def test_limits_and_accounts_have_defaults_and_are_strict() -> None:
    settings = load()

    assert settings.limits == {
        "rpm": 600_000,
        "tpm": None,
        "concurrency": None,
        "shadow": False,
        "outage_cap": 1_000_000_000,
    }
    assert settings.accounts == {"registration": "invite"}
    with pytest.raises(ConfigurationError, match=r"accounts\.registration"):
        with_file('[accounts]\nregistration = "everyone"\n')
