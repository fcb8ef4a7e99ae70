"""What operations are given is true: alerts name real numbers and pages, files fit each other and the code."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from keeper.cli import cli
from keeper.domain.verdicts import Kind
from keeper.settings import Settings
from tests.watch.conftest import Kept, shown
from tests.watch.test_metrics import numbers

ROOT = Path(__file__).resolve().parents[2]
OPS = ROOT / "ops"
NAME = re.compile(r"\bkeeper_[a-z_]+\b")
LABEL = re.compile(r'(\w+)=~?"([^"]*)"')


def parsed(path: str) -> Any:
    return yaml.safe_load((OPS / path).read_text(encoding="utf-8"))


def alerts() -> list[dict[str, Any]]:
    return [rule for group in parsed("alerts.yml")["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        (OPS / "grafana/dashboards/keeper.json").read_text(encoding="utf-8")
    )["panels"]
    return found


def expressions() -> list[str]:
    drawn = [target["expr"] for panel in panels() for target in panel["targets"]]
    return [rule["expr"] for rule in alerts()] + drawn


@pytest.fixture
def told(kept: Kept, settings: Settings) -> set[tuple[str, ...]]:
    """Every sample that a keeper that acted, and stopped itself, tells Prometheus."""
    kept.live(1)
    kept.world.set_price("WETH", 1500)
    kept.turn()
    assert kept.keeper.journal is not None
    kept.keeper.journal.latch("gas", 1, "breaker: tried")
    with shown(settings) as asker:
        asker.until(lambda state: state["balances"])
        return set(numbers(asker))


def test_an_alert_or_a_panel__in_its_expression__names_numbers_the_keeper_tells(
    told: set[tuple[str, ...]],
) -> None:
    names = {sample[0] for sample in told}
    values = {value for sample in told for value in sample[1:]}
    for expression in expressions():
        wanted = set(NAME.findall(re.sub(r'"[^"]*"', "", expression)))
        assert wanted <= names, expression
        for label, text in LABEL.findall(expression):
            if label != "job":
                assert set(text.split("|")) <= values, expression


def test_the_numbers__but_for_what_explains_another__are_all_watched_or_drawn(
    told: set[tuple[str, ...]],
) -> None:
    used = {name for expression in expressions() for name in NAME.findall(expression)}
    unused = {sample[0] for sample in told} - used
    assert {name for name in unused if not name.endswith("_created")} == {
        "keeper_last_turn_block",
        "keeper_last_turn_timestamp_seconds",
    }


def test_an_alert__each__has_a_severity_a_summary_and_a_page_in_the_runbook() -> None:
    runbook = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    headings = set(re.findall(r"^## (Keeper\w+)$", runbook, re.MULTILINE))
    assert {rule["alert"] for rule in alerts()} == headings
    for rule in alerts():
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"
        assert re.fullmatch(r"\d+[mh]", rule.get("for", "1m"))
    assert {kind.name.lower() for kind in Kind} - {"within"} <= {
        text for rule in alerts() for _, text in LABEL.findall(rule["expr"])
    }


def test_the_alerts__where_promtool_is__pass_its_own_check() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not on PATH, so Prometheus itself was not asked about ops/alerts.yml")
    done = subprocess.run(
        [promtool, "check", "rules", str(OPS / "alerts.yml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus__as_configured__asks_the_keeper_of_compose_with_its_token() -> None:
    services, (job,) = parsed("compose.yml")["services"], parsed("prometheus.yml")["scrape_configs"]
    (target,) = job["static_configs"][0]["targets"]
    host, port = target.split(":")
    assert host in services
    assert f"127.0.0.1:{port}:{port}" in services[host]["ports"]
    assert job["job_name"] == "keeper"
    secret = Path(job["authorization"]["credentials_file"])
    assert secret.parent == Path("/run/secrets")
    assert secret.name in services["prometheus"]["secrets"]
    mounted = [volume.split(":")[1] for volume in services["prometheus"]["volumes"]]
    assert set(parsed("prometheus.yml")["rule_files"]) <= set(mounted)


def test_compose__whatever_it_mounts_and_names__is_there_or_made_as_the_runbook_says() -> None:
    compose = parsed("compose.yml")
    runbook = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    for name, service in compose["services"].items():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), f"{name} is published to everybody"
        assert service["logging"]["options"]["max-size"], name
        assert set(service.get("secrets", ())) <= set(compose["secrets"])
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            if source.startswith("./"):
                assert (OPS / source).exists() or f"ops/{source[2:]}/" in runbook, source
            else:
                assert source in compose["volumes"]
        if "build" in service:
            assert (OPS / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
        else:
            assert re.fullmatch(r"[a-z/]+:v?[\d.]+(-alpine)?", service["image"]), "a version must be pinned"
    for secret in compose["secrets"].values():
        assert f"ops/{secret['file']}" in runbook
    assert compose["services"]["postgres"]["profiles"] == ["postgres"]


def test_the_image__as_built__copies_what_there_is_and_runs_a_command_that_exists() -> None:
    text = (OPS / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE):
        for source in line.split():
            assert (ROOT / source).exists(), source
            assert any(source == each or source.startswith(f"{each}/") for each in allowed), source
    assert re.search(r"^USER keeper$", text, re.MULTILINE), "it must not run as root"
    assert json.loads(_last(text, "ENTRYPOINT")) == ["keeper"]
    assert why_unknown(json.loads(_last(text, "CMD"))) is None
    assert "/health" in text


def test_the_unit__as_installed__starts_the_keeper_stops_it_gently_and_gives_it_little() -> None:
    unit = configparser.RawConfigParser(strict=False, delimiters=("=",))
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(OPS / "keeper.service")
    service = unit["Service"]
    words = shlex.split(service["ExecStart"])
    assert words[0].endswith("/bin/keeper")
    assert why_unknown(words[1:]) is None
    assert (service["KillSignal"], service["Restart"]) == ("SIGTERM", "on-failure")
    assert service["RestartPreventExitStatus"] == "2"
    assert service["User"] == "keeper"
    for hardening in ("NoNewPrivileges", "PrivateTmp", "ProtectHome"):
        assert service[hardening] == "yes"
    assert Path(words[words.index("--config") + 1]).parent == Path(service["WorkingDirectory"])


def test_the_unit__where_systemd_is__passes_its_own_check(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip(
            "systemd-analyze is not on PATH, so systemd itself was not asked about ops/keeper.service"
        )
    unit = tmp_path / "keeper.service"
    text = (OPS / "keeper.service").read_text(encoding="utf-8")
    unit.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE))
    done = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if "keeper.service" in line] == []


def test_grafana__as_provisioned__finds_its_source_and_its_dashboard() -> None:
    (source,) = parsed("grafana/provisioning/datasources/prometheus.yml")["datasources"]
    (provider,) = parsed("grafana/provisioning/dashboards/keeper.yml")["providers"]
    volumes = dict(
        volume.split(":")[:2] for volume in parsed("compose.yml")["services"]["grafana"]["volumes"]
    )
    assert volumes["./grafana/dashboards"] == provider["options"]["path"]
    assert volumes["./grafana/provisioning"] == "/etc/grafana/provisioning"
    assert source["url"] == "http://prometheus:9090"
    seen = set()
    for panel in panels():
        assert panel["datasource"]["uid"] == source["uid"]
        assert panel["id"] not in seen
        seen.add(panel["id"])
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24


def why_unknown(words: list[str]) -> str | None:
    """Why keeper would not understand a command line; None when it would."""
    group: Any = typer.main.get_command(cli)
    command = group.commands.get(words[0])
    if command is None:
        return f"there is no command {words[0]}"
    known = {flag for parameter in command.params for flag in parameter.opts}
    unknown = {word for word in words if word.startswith("--")} - known
    return f"{words[0]} has no {unknown}" if unknown else None


def _last(text: str, instruction: str) -> str:
    return re.findall(rf"^{instruction} (.*)$", text, re.MULTILINE)[-1]
