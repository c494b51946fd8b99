"""Dockerfile, Compose file, unit and dashboard, as far as they can be judged without an engine to run them."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.prod.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
UNIT = (ROOT / "deploy/systemd/parley.service").read_text()
SECRETS = re.compile(r"PASSWORD|SECRET|TOKEN|API_KEY|_URL")
FINAL_STAGE = DOCKERFILE[DOCKERFILE.rindex("\nFROM") :]

every_service = pytest.mark.parametrize("name", SERVICES)

# ── Compose ──────────────────────────────────────────────────────────────────────────────────────────────────────

# The part of the Compose specification that this file uses: a key that is misspelt is silently nothing to no engine.
TOP_KEYS = {"name", "services", "networks", "volumes"}
SERVICE_KEYS = {
    *("build", "cap_add", "cap_drop", "command", "depends_on", "entrypoint", "environment", "healthcheck", "image"),
    *("logging", "mem_limit", "networks", "pids_limit", "ports", "read_only", "restart", "security_opt"),
    *("stop_grace_period", "stop_signal", "sysctls", "tmpfs", "ulimits", "user", "volumes"),
}
CONDITIONS = {"service_healthy", "service_completed_successfully"}
HEALTH_KEYS = {"test", "interval", "timeout", "start_period", "retries", "disable"}


def test_the_compose_file_has_only_keys_of_the_specification():
    assert {key for key in COMPOSE if not key.startswith("x-")} <= TOP_KEYS
    for service in SERVICES.values():
        assert set(service) <= SERVICE_KEYS
        assert set(service["healthcheck"]) <= HEALTH_KEYS


def test_all_the_parts_are_there():
    assert set(SERVICES) == {"nginx", "migrate", "gateway", "mysql", "redis", "prometheus", "grafana"}


@every_service
def test_every_image_is_pinned_to_a_version(name):
    repository, _, tag = SERVICES[name]["image"].partition(":")

    assert repository
    assert tag.startswith("${PARLEY_VERSION:-") or re.match(r"v?\d+\.\d+\.\d+(-|$)", tag)


@every_service
def test_no_secret_stands_in_the_file(name):
    environment = SERVICES[name].get("environment", {})
    secret = {key: value for key, value in environment.items() if SECRETS.search(key)}

    assert [key for key, value in secret.items() if not re.search(r"\$\{\w+:[?-]\}", value)] == []
    assert not re.search(r"//[^:$\s]*:[^@$\s]+@", str(SERVICES[name]))


@every_service
def test_no_command_line_shows_a_secret(name):
    """`${NAME}` is filled in by Compose and seen by everyone who lists programs; `$$NAME` by the shell inside."""
    words = str(SERVICES[name].get("command", "")) + str(SERVICES[name]["healthcheck"])

    assert re.findall(r"(?<!\$)\$\{?\w*(?:PASSWORD|SECRET|TOKEN|KEY)", words) == []


@every_service
def test_every_service_is_locked_in(name):
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert not service.get("privileged")
    assert "/var/run/docker.sock" not in str(service)


@every_service
def test_every_service_tells_whether_it_is_well_and_is_started_again(name):
    if name == "migrate":
        assert SERVICES[name]["restart"] == "no"
    else:
        assert SERVICES[name]["healthcheck"]["test"]
        assert SERVICES[name]["restart"] == "unless-stopped"


@every_service
def test_every_service_waits_for_one_that_exists_in_a_state_that_it_can_reach(name):
    for other, how in SERVICES[name].get("depends_on", {}).items():
        assert how["condition"] in CONDITIONS
        assert SERVICES[other]["healthcheck"].get("disable", False) == (how["condition"] != "service_healthy")


@every_service
def test_every_network_and_volume_is_declared_and_every_file_is_there(name):
    service = SERVICES[name]

    assert set(service["networks"]) <= set(COMPOSE["networks"])
    for mount in service.get("volumes", []):
        source = mount.split(":")[0]
        if source.startswith("./"):
            assert (ROOT / source).exists()
            assert mount.endswith(":ro")
        elif not source.startswith("${"):
            assert source in COMPOSE["volumes"]


def test_only_nginx_is_reachable_from_outside():
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}

    assert published == {"nginx": ["80:80", "443:443"], "grafana": ["127.0.0.1:3000:3000"]}


def test_the_stores_have_no_way_out_and_only_the_gateway_reaches_them():
    assert COMPOSE["networks"]["store"]["internal"] is True
    assert {name for name, it in SERVICES.items() if "store" in it["networks"]} == {
        "migrate",
        "gateway",
        "mysql",
        "redis",
    }
    assert SERVICES["mysql"]["networks"] == SERVICES["redis"]["networks"] == ["store"]


def test_the_gateway_has_one_gigabyte_a_journal_on_disk_and_time_to_drain():
    gateway = SERVICES["gateway"]

    assert gateway["mem_limit"] == "1g"
    assert "parley:/var/lib/parley" in gateway["volumes"]
    assert any(mount.startswith("/var/lib/parley/metrics:") for mount in gateway["tmpfs"])
    assert int(gateway["stop_grace_period"].removesuffix("s")) > 45


def test_every_variable_of_the_file_is_in_the_example_and_the_other_way_round():
    text = (ROOT / "docker-compose.prod.yml").read_text()
    needed = set(re.findall(r"(?<!\$)\$\{(\w+)", text)) - {"PARLEY_VERSION"}
    offered = re.findall(r"^(\w+)=", (ROOT / "deploy/example.env").read_text(), re.MULTILINE)

    assert set(offered) == needed


def test_the_example_has_no_secret_that_somebody_could_forget_to_change():
    lines = re.findall(r"^(\w+)=(.*)$", (ROOT / "deploy/example.env").read_text(), re.MULTILINE)

    assert [name for name, value in lines if value and SECRETS.search(name)] == []
    assert ".env" in (ROOT / ".gitignore").read_text().split()


def test_nginx_gets_every_variable_of_its_template():
    template = (ROOT / "deploy/nginx/templates/parley.conf.template").read_text()

    assert set(re.findall(r"\$\{(PARLEY_\w+)\}", template)) == {
        name for name in SERVICES["nginx"]["environment"] if name.startswith("PARLEY_")
    }


# ── the image ────────────────────────────────────────────────────────────────────────────────────────────────────


def instructions(text: str = DOCKERFILE) -> list[tuple[str, str]]:
    joined = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines()) if word.isupper()]


def test_the_image_starts_from_a_pinned_slim_python():
    bases = [rest.split()[0] for word, rest in instructions() if word == "FROM"]

    assert bases == ["${PYTHON}"] * 2
    assert re.search(r"^ARG PYTHON=python:3\.\d+\.\d+-slim-\w+$", DOCKERFILE, re.MULTILINE)


def test_every_package_is_hashed_and_no_index_is_named():
    installs = [
        part for word, rest in instructions() if word == "RUN" for part in rest.split("&&") if "pip install" in part
    ]
    own = [part for part in installs if "--editable ." in part]

    assert len(installs) == 3
    assert all("--require-hashes" in part for part in installs if part not in own)
    assert "--only-binary :all: -r requirements/run.txt" in installs[0]
    assert all("--no-deps" in part for part in own)
    assert "--index-url" not in DOCKERFILE
    assert "curl" not in DOCKERFILE


def test_the_image_runs_as_a_user_without_rights_and_without_a_compiler():
    users = [rest for word, rest in instructions() if word == "USER"]

    assert users == ["10001:10001"]
    assert instructions(FINAL_STAGE).index(("USER", "10001:10001")) < len(instructions(FINAL_STAGE)) - 1
    assert "apt-get" not in FINAL_STAGE
    assert "gcc" not in FINAL_STAGE


def test_the_image_tells_whether_it_is_well_and_gets_its_signals():
    found = dict(instructions(FINAL_STAGE))

    assert "/livez" in found["HEALTHCHECK"]
    assert json.loads(found["ENTRYPOINT"]) == ["parley"]
    assert json.loads(found["CMD"]) == ["serve"]
    assert found["STOPSIGNAL"] == "SIGTERM"


def test_everything_that_is_copied_exists_and_is_let_through():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = [line[1:] for line in ignored if line.startswith("!")]
    copied = [
        source.rstrip("/")
        for word, rest in instructions()
        if word == "COPY" and "--from" not in rest
        for source in rest.split()[:-1]
    ]

    assert ignored[1] == "*"
    assert [source for source in copied if not (ROOT / source).exists()] == []
    assert sorted(copied) == sorted(allowed)


def test_the_image_has_what_the_program_needs_beside_its_packages():
    for needed in ("gunicorn.conf.py", "wsgi.py", "pyproject.toml"):
        assert needed in DOCKERFILE


def test_the_lists_of_packages_agree_so_that_the_second_install_adds_one():
    def pinned(name: str) -> set[str]:
        return set(re.findall(r"^([\w.-]+==[\w.]+)", (ROOT / f"requirements/{name}.txt").read_text(), re.MULTILINE))

    assert {package.partition("==")[0] for package in pinned("speed") - pinned("run")} == {"gunicorn-h1c"}


# ── the unit and the dashboard ───────────────────────────────────────────────────────────────────────────────────


def test_systemd_understands_the_unit(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    copy = tmp_path / "parley.service"
    copy.write_text(re.sub(r"/opt/parley/\.venv/bin/parley", "/bin/true", UNIT))
    command = ["systemd-analyze", "verify", "--man=no", str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert "parley.service" not in done.stderr


@pytest.mark.parametrize(
    "line",
    ["NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet=", "MemoryMax=1G", "User=parley"],
)
def test_the_unit_is_locked_in(line):
    assert line in UNIT.splitlines()


def test_the_dashboard_has_a_panel_for_everything_that_matters():
    dashboard = json.loads((ROOT / "deploy/grafana/dashboards/parley.json").read_text())
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    titles = {panel["title"] for panel in panels}

    wanted = {"Requests", "Errors", "Latency", "First token", "Tokens", "Cost per hour", "Breakers", "Journal lag"}
    assert wanted <= titles
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    assert all(panel["targets"] and panel["datasource"]["uid"] == "prometheus" for panel in panels)


def test_no_two_panels_lie_on_each_other():
    dashboard = json.loads((ROOT / "deploy/grafana/dashboards/parley.json").read_text())
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken
        taken |= cells


def test_grafana_is_given_the_data_source_and_the_folder_that_are_used():
    sources = yaml.safe_load((ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text())
    folders = yaml.safe_load((ROOT / "deploy/grafana/provisioning/dashboards/parley.yml").read_text())
    mounts = {mount.split(":")[1] for mount in SERVICES["grafana"]["volumes"]}

    assert sources["datasources"][0]["uid"] == "prometheus"
    assert sources["datasources"][0]["url"] == "http://prometheus:9090"
    assert folders["providers"][0]["options"]["path"] in mounts


def test_every_alert_has_a_section_in_the_runbook_and_a_test():
    rules = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())["groups"][0]["rules"]
    alerts = {rule["alert"] for rule in rules}
    sections = set(re.findall(r"^### (Parley\w+)$", (ROOT / "docs/operations.md").read_text(), re.MULTILINE))
    tests = yaml.safe_load((ROOT / "deploy/prometheus/alerts.test.yml").read_text())["tests"]
    fired = {it["alertname"] for test in tests for it in test["alert_rule_test"] if it.get("exp_alerts")}

    assert sections == alerts
    assert fired == alerts
