"""
How long after a webhook's 200 the changed answer is there, at the query listener and at nginx that keeps answers. Edge.

`python -m benchmarks.freshness`: an invoice is finalized, so that both say 402; some time later it is paid, and both
are asked until they say 200. nginx runs deploy/gateways/nginx with `cached` and may keep a denial for two seconds; it
is asked all the time, so that what it keeps is of any age when the payment comes. Six minutes on two cores.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from benchmarks.webhooks import CYCLES, KINDS, SECRET, Webhook, webhooks
from ops.server import port_answers
from ops.settings import Address, Environment, free_address
from ops.up import Pipeline, pipeline, wait_until_ready

RECIPE = Path(__file__).parent.parent / "deploy" / "gateways" / "nginx"
TOKEN, ADMIN_TOKEN = "gateway_benchmark", "admin_benchmark"  # made up, for listeners of 127.0.0.1
HOST, PATH = "api.example.com", "/orders/1"
"""What `ops/catalog.example.yaml` routes to the API that the webhooks pay."""

AT_ONCE = 4
"""Trials under way at once; more would measure how busy two cores are."""

KEPT_S = 2.0
QUERY_EVERY_S, NGINX_EVERY_S = 0.008, 0.02
LONGEST_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Seconds from a webhook's 200 to the answer that it makes."""

    query: float
    nginx: float


def main() -> None:
    """Measure, and print a table as in docs/benchmarks.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.freshness", description=__doc__)
    parser.add_argument("--trials", type=int, default=500)
    count = parser.parse_args().trials
    with tempfile.TemporaryDirectory(prefix="entitle-freshness-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)  # nginx' workers give the rights of root up
        with pipeline(_environment(), folder, _say) as running:
            wait_until_ready(running)
            with nginx(folder / "nginx", _address(running.edge.query)) as gateway:
                trials = _all(running, gateway, count)
            running.supervisor.look_after()
    print(f"\n| {count} trials, {AT_ONCE} at once | p50 ms | p99 ms | most ms |\n|---|---|---|---|")
    for where, seconds in (
        ("the query listener", [each.query for each in trials]),
        ("nginx that keeps answers", [each.nginx for each in trials]),
    ):
        print(f"| {where} | {' | '.join(f'{1000 * each:.0f}' for each in _percentiles(seconds))} |")


def _all(running: Pipeline, gateway: Address, count: int) -> Sequence[Trial]:
    """Some at a time; the first ones, in which everything is new to everybody, do not count."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        done = []
        for trial in pool.map(lambda _: _trial(running, gateway), range(count + AT_ONCE)):
            done.append(trial)
            if len(done) % 100 == 0:
                _say(f"{len(done)} trials")
    return done[AT_ONCE:]


def _trial(running: Pipeline, gateway: Address) -> Trial:
    query = _address(running.edge.query)
    deliveries = [*webhooks(CYCLES * len(KINDS), run=uuid.uuid4().hex[:8], now=int(time.time()))]
    last = deliveries[-len(KINDS) :]
    finalized, paid = last[KINDS.index("invoice.finalized")], last[KINDS.index("invoice.paid")]
    key = _key(running, finalized.customer)
    to_query = {**_forwarded(), "Entitlement-Gateway-Token": TOKEN, "X-Api-Key": key}
    to_nginx = {"Host": HOST, "X-Api-Key": key}
    _deliver(running, finalized)
    _until(402, query, "/v1/check", to_query, QUERY_EVERY_S)
    _until(402, gateway, PATH, to_nginx, NGINX_EVERY_S)
    opened: list[float] = []
    asking = threading.Thread(target=lambda: opened.append(_until(200, gateway, PATH, to_nginx, NGINX_EVERY_S)))
    asking.start()
    time.sleep(random.SystemRandom().uniform(0, KEPT_S))
    _deliver(running, paid)
    answered = time.monotonic()
    seen = _until(200, query, "/v1/check", to_query, QUERY_EVERY_S)
    asking.join()
    return Trial(query=seen - answered, nginx=opened[0] - answered)


def _until(status: int, where: Address, path: str, headers: Mapping[str, str], every_s: float) -> float:
    """Ask until the answer has this status; when it came."""
    deadline = time.monotonic() + LONGEST_S
    with closing(http.client.HTTPConnection(where.host, where.port, timeout=LONGEST_S)) as client:
        while True:
            client.request("GET", path, headers=dict(headers))
            answer = client.getresponse()
            answer.read()
            if answer.status == status:
                return time.monotonic()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{where} says {answer.status}, not {status}, after {LONGEST_S:.0f} s")
            time.sleep(every_s)


def _deliver(running: Pipeline, webhook: Webhook) -> None:
    where = _address(running.edge.ingest)
    headers = {"Content-Type": "application/json", "Stripe-Signature": webhook.signature.decode()}
    with closing(http.client.HTTPConnection(where.host, where.port, timeout=LONGEST_S)) as client:
        client.request("POST", "/webhooks/stripe/main", webhook.body, headers)
        answer = client.getresponse()
        said = answer.read()
    if answer.status != 200 or b"published" not in said:
        raise RuntimeError(f"a webhook was answered {answer.status}")


def _key(running: Pipeline, customer: str) -> str:
    request = urllib.request.Request(  # noqa: S310  # our own listener's URL
        f"{running.edge.query}/v1/customers/{customer}/keys",
        data=b"{}",
        headers={"Authorization": f"Bearer {ADMIN_TOKEN}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=LONGEST_S) as answer:  # noqa: S310
        key: str = json.load(answer)["key"]
        return key


@contextmanager
def nginx(folder: Path, query: Address) -> Iterator[Address]:
    """The recipe for nginx as it is shipped, with its settings filled; in place of the API nginx' own 204."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        sys.exit("nginx is not installed: apt-get install --no-install-recommends nginx")
    folder.mkdir(mode=0o755)
    address, api = free_address(), free_address()
    names = {"GATEWAY": address, "QUERY": query, "API": api}
    settings = {f"{name}_HOST": each.host for name, each in names.items()}
    settings |= {f"{name}_PORT": str(each.port) for name, each in names.items()}
    settings |= {"ON_FAILURE": "cached", "CACHE_DIR": str(folder / "cache"), "ENTITLE_GATEWAY_TOKEN": TOKEN}
    for file in RECIPE.iterdir():
        text = file.read_text(encoding="utf-8")
        for name, value in settings.items() if file.suffix == ".template" else ():
            text = text.replace(f"${{{name}}}", value)
        (folder / file.name.removesuffix(".template")).write_text(text, encoding="utf-8")
    whole = folder / "nginx.conf"
    behind = f"server {{ listen {api}; location / {{ return 200; }} }}\n}}"
    whole.write_text(whole.read_text(encoding="utf-8").rstrip().removesuffix("}") + behind, encoding="utf-8")
    with (folder / "said.log").open("ab") as log:
        command = [program, "-p", str(folder), "-e", "stderr", "-c", "nginx.conf", "-g", "daemon off;"]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        while not port_answers(address.port):
            if process.poll() is not None:
                raise RuntimeError(f"nginx did not start: {(folder / 'said.log').read_text(encoding='utf-8')}")
            time.sleep(0.05)
        yield address
    finally:
        process.terminate()
        process.wait()


def _environment() -> Environment:
    return Environment(
        variables=MappingProxyType(
            {
                "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "ENTITLE_INGEST_ADDRESS": str(free_address()),
                "ENTITLE_QUERY_ADDRESS": str(free_address()),
                "ENTITLE_QUERY_TOKENS": TOKEN,
                "ENTITLE_ADMIN_TOKENS": ADMIN_TOKEN,
                "STRIPE_SIGNING_SECRETS": SECRET,
            }
        )
    )


def _forwarded() -> dict[str, str]:
    return {"X-Forwarded-Method": "GET", "X-Forwarded-Host": HOST, "X-Forwarded-Uri": PATH}


def _address(url: str) -> Address:
    host, _, port = url.removeprefix("http://").rpartition(":")
    return Address(host, int(port))


def _percentiles(seconds: Sequence[float]) -> tuple[float, float, float]:
    """The middle, the 99th of a hundred, and the longest."""
    ordered = sorted(seconds)
    return ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)], ordered[-1]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
