"""
The house rules: the project keeps them, and each is seen to catch a trespass.

Long because every way to break a rule, and every lawful neighbour of one, is a case of its own here.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.house_rules import SOURCE_RULES, violations
from tests.house_rules.append_only import REWRITTEN, UPSERTERS
from tests.house_rules.edges import CLOCK_READERS, ENVIRONMENT_READERS, KEEPERS, PRINTERS, TRANSACTION_OWNERS
from tests.house_rules.files import ROOT, project_files, text_of, walked
from tests.house_rules.rooms import LIBRARIES, ROOMS
from tests.house_rules.shape import MUTABLE, POSITIONAL
from tests.house_rules.standard_library import FREE, STANDARD_LIBRARY
from tests.house_rules.text import TEXT_RULES

HOME = "/".join(("", "home", "somebody", "project"))
WORK = "/".join(("", "work", "project"))
INDEX = ".".join(("pypi", "org"))
MAVEN = ".".join(("repo", "maven", "apache", "org"))
OPTION = "--" + "index-url"
REGISTRY = ".".join(("docker", "io"))


def module(code: str, docstring: str = "Something of ours. Edge: none.") -> str:
    """A file that keeps every rule, but for what *code* breaks."""
    return f'"""{docstring}"""\n\n{code}\n'


def lines(count: int, line: str = "x = 1") -> str:
    """That many lines of code, without a newline at the end."""
    return "\n".join([line] * count)


def broad(handler: str, before: str = "") -> str:
    """A file that catches every exception, and does *handler* about it."""
    return module(f"{before}try:\n    x = 1\nexcept Exception as error:\n    {handler}")


def a_test(body: str, before: str = "") -> str:
    """A file of one test, which keeps every rule but for what *body* breaks."""
    return module(f'{before}def test_a(a):\n    """A fact."""\n    {body}')


SHARED_STATE = "from dataclasses import dataclass\n\n@dataclass({})\nclass _Fact:\n    id: str"

TRESPASSES = {
    "has_a_room": [
        ("billing/invoices.py", module("x = 1"), "billing has no room"),
        ("setup.py", module("x = 1"), "setup.py has no room"),
        ("ingest/stripe/signature.py", module("x = 1"), "ingest/stripe has no room"),
        ("entitlements/domain/rules/refund.py", module("x = 1"), "has no room"),
    ],
    "imports_ours_by_the_doors": [
        ("schemas/codec.py", module("from entitlements.domain.facts import Grant"), "may import schemas"),
        ("ingest/app.py", module("import entitlements.store"), "may import ingest, schemas"),
        ("ingest/app.py", module("from consumers import runner"), "imports consumers.runner"),
        ("entitlements/store.py", module("from ingest import app"), "imports ingest.app"),
        ("entitlements/store.py", module("from consumers import log"), "imports consumers.log"),
        ("entitlements/store.py", module("from entitlements.api import app"), "imports entitlements.api.app"),
        ("entitlements/store.py", module("from schemas.codec import decode"), "imports schemas.codec.decode"),
        ("entitlements/domain/facts.py", module("from schemas.codec import Message"), "imports schemas.codec.Message"),
        ("entitlements/domain/facts.py", module("from schemas import topics"), "imports schemas.topics"),
        ("entitlements/domain/facts.py", module("from schemas import *"), "imports schemas.*"),
        ("entitlements/domain/access.py", module("from entitlements import store"), "imports entitlements.store"),
        (
            "entitlements/migrations/versions/0001.py",
            module("import entitlements.tables"),
            "may import nothing of ours",
        ),
        ("consumers/grants.py", module("from consumers.revocations import decide"), "imports consumers.revocations"),
        ("consumers/grants.py", module("from consumers import invoices"), "imports consumers.invoices"),
        ("consumers/invoices.py", module("import entitlements.store"), "may import entitlements.domain, schemas"),
        ("consumers/runner.py", module("from consumers import grants"), "imports consumers.grants"),
        ("consumers/runner.py", module("def _late():\n    import consumers.invoices"), "imports consumers.invoices"),
        ("consumers/batch.py", module("from entitlements.api import app"), "imports entitlements.api.app"),
        ("consumers/runner.py", module("from ops import settings"), "imports ops.settings"),
        ("ops/cli.py", module("from tests import servers"), "imports tests.servers"),
        ("consumers/runner.py", module("from . import log"), "relative import"),
        ("consumers/runner.py", module("from .grants import decide"), "relative import"),
        ("consumers/runner.py", module("import consumers; consumers.grants.decide"), "imports consumers, and so"),
        ("consumers/runner.py", module("import consumers as c\nx = c.log"), "imports consumers, and so whatever"),
        ("consumers/runner.py", module("from consumers import *"), "imports consumers.*, and so whatever"),
        ("tests/yard.py", module("import ops"), "name a module, `from ops import ...`"),
        ("ops/cli.py", module("import tests"), "imports tests, but may import"),
        (
            "consumers/runner.py",
            module("import consumers.log\nx = consumers.grants.decide"),
            "reaches consumers.grants through consumers",
        ),
        (
            "entitlements/store.py",
            module("import entitlements.tables\nx = entitlements.api"),
            "reaches entitlements.api through entitlements",
        ),
    ],
    "imports_libraries_at_home": [
        ("schemas/codec.py", module("import orjson"), "imports orjson in a pure room"),
        ("entitlements/domain/facts.py", module("from sqlalchemy import Table"), "in a pure room"),
        ("consumers/grants.py", module("import sqlalchemy"), "in a pure room"),
        ("consumers/runner.py", module("import stripe"), "at home in ingest"),
        ("entitlements/store.py", module("from stripe import Event"), "at home in ingest"),
        (
            "ingest/app.py",
            module("from kafka import KafkaProducer"),
            "at home in ingest/appending.py, ingest/brokers.py",
        ),
        ("entitlements/api/app.py", module("import kafka.errors"), "at home in ingest/appending.py"),
        ("ingest/app.py", module("import sqlalchemy as sa"), "at home in entitlements"),
        ("ingest/app.py", module("import psycopg2"), "at home in entitlements"),
        ("consumers/runner.py", module("from starlette.requests import Request"), "at home in ingest"),
        ("entitlements/store.py", module("import starlette"), "at home in ingest"),
        ("entitlements/api/app.py", module("import yaml"), "at home in ops"),
        ("consumers/runner.py", module("import click"), "at home in ops"),
        ("ingest/app.py", module("import rich.console"), "at home in ops"),
        ("entitlements/store.py", module("from alembic import op"), "at home in entitlements/migrations, ops"),
        ("ops/cli.py", module("import requests"), "at home in tests"),
        ("ops/cli.py", module("import hypothesis"), "at home in tests"),
    ],
    "keeps_pure_of_the_world": [
        ("schemas/topics.py", module("import os"), "imports os, but is pure"),
        ("schemas/topics.py", module("import random"), "imports random"),
        ("entitlements/domain/facts.py", module("from pathlib import Path"), "imports pathlib"),
        ("entitlements/domain/facts.py", module("import time"), "imports time"),
        ("entitlements/domain/facts.py", module("import asyncio"), "imports asyncio"),
        ("consumers/grants.py", module("import logging"), "imports logging"),
        ("ingest/redaction.py", module("import socket", "What never leaves. Pure."), "imports socket, but is pure"),
        ("schemas/topics.py", module("x = open('topics')"), "opens a file"),
    ],
    "uses_no_side_door": [
        ("ingest/app.py", module("x = __import__('entitlements')"), "calls __import__"),
        ("consumers/runner.py", module("from importlib import import_module as get\nx = get('ops')"), "import_module"),
    ],
    "reaches_the_world_at_home": [
        ("ingest/app.py", module("import urllib.request"), "imports urllib.request, which is at home in ops, tests"),
        ("ingest/app.py", module("from subprocess import run"), "imports subprocess.run, which is at home in ops"),
        ("ingest/publisher.py", module("import socket as plug"), "imports socket"),
        ("ingest/app.py", module("from http import client"), "imports http.client"),
        ("ingest/app.py", module("import http"), "imports http,"),
        ("ingest/app.py", module("import urllib"), "imports urllib,"),
        (
            "ingest/delivery.py",
            module("import os"),
            "at home in entitlements/api/listening.py, ingest/app.py, ops, tests",
        ),
        ("ingest/app.py", module("import os\nx = os.system('ls')"), "uses os.system: connections are opened by"),
        ("ingest/app.py", module("from os import popen\nx = popen('ls')"), "uses os.popen"),
        ("ingest/app.py", module("from asyncio import open_connection as o\nx = o()"), "uses asyncio.open_connection"),
        ("ingest/app.py", module("import asyncio\nx = asyncio.create_subprocess_exec"), "create_subprocess_exec"),
        ("ingest/app.py", module("import sys\nx = sys.modules"), "imports sys"),
        ("entitlements/store.py", module("import sqlite3"), "imports sqlite3"),
        ("entitlements/store.py", module("import time"), "imports time, which is at home in consumers/log.py"),
        ("entitlements/api/app.py", module("import http.client"), "imports http.client"),
        ("entitlements/api/app.py", module("def _f():\n    import socketserver"), "imports socketserver"),
        ("entitlements/migrations/env.py", module("import subprocess"), "imports subprocess"),
        ("consumers/log.py", module("import socket"), "imports socket"),
        ("consumers/batch.py", module("import multiprocessing.pool"), "imports multiprocessing.pool"),
        (
            "consumers/batch.py",
            module("from concurrent import futures"),
            "at home in entitlements/api/snapshot_stream.py",
        ),
    ],
    "reads_no_environment": [
        ("ingest/app.py", module("import os\nx = os.environ['ENTITLE_KAFKA']"), "settings are read in ops/"),
        ("consumers/runner.py", module("from os import getenv as setting\nx = setting('A')"), "reads os.getenv"),
        ("entitlements/api/app.py", module("from os import environ\nx = environ.get('A')"), "reads os.environ"),
    ],
    "reads_no_clock": [
        ("schemas/codec.py", module("from datetime import datetime\nx = datetime.now()"), "take the moment"),
        ("entitlements/domain/access.py", module("import datetime as d\nx = d.datetime.utcnow()"), "reads the clock"),
        ("entitlements/domain/access.py", module("from datetime import date\nx = date.today()"), "date.today"),
        ("entitlements/store.py", module("from time import time\nx = time()"), "time.time"),
        ("ingest/redaction.py", module("from time import monotonic\nx = monotonic()"), "time.monotonic"),
        ("consumers/batch.py", module("from time import perf_counter as c\nx = dict(clock=c)"), "time.perf_counter"),
    ],
    "leaves_transactions_to_the_edge": [
        ("entitlements/store.py", module("def _f(connection):\n    connection.commit()"), "calls .commit()"),
        ("entitlements/ledger.py", module("def _f(engine):\n    with engine.begin():\n        pass"), "calls .begin()"),
        ("ingest/app.py", module("def _f(self):\n    self.session.rollback()"), "calls .rollback()"),
    ],
    "prints_nothing": [
        ("ingest/app.py", module("print('published')"), "prints"),
        ("tests/unit/test_codec.py", module("print('here')"), "prints"),
    ],
    "swallows_nothing": [
        ("ops/up.py", module("try:\n    x = 1\nexcept Exception:\n    pass"), "swallows every exception"),
        ("ops/up.py", module("try:\n    x = 1\nexcept:\n    ..."), "swallows every exception"),
        ("ops/up.py", module("try:\n    x = 1\nexcept (ValueError, BaseException):\n    pass"), "swallows"),
        ("ops/up.py", module("import contextlib as c\nwith c.suppress(Exception):\n    x = 1"), "swallows"),
        (
            "ops/up.py",
            module("def _f():\n    try:\n        x = 1\n    except Exception:\n        return None"),
            "swallows every exception",
        ),
        ("ops/up.py", broad("x = 1"), "swallows"),
        ("ops/up.py", broad("pass\n    pass"), "swallows"),
        ("ops/up.py", broad("str(error)"), "swallows"),
        ("ops/up.py", broad("def again():\n        raise error"), "swallows"),
        ("ops/up.py", broad("raised.append(error)", "raised = []\n"), "swallows"),
        ("ops/up.py", module("try:\n    x = 1\nexcept (ValueError, (KeyError, Exception)):\n    x = 2"), "swallows"),
        ("ops/up.py", module("import builtins as b\ntry:\n    x = 1\nexcept b.Exception:\n    x = 2"), "swallows"),
        ("tests/yard.py", broad("pass"), "swallows"),
        ("tests/yard.py", broad("failed.append(True)"), "swallows"),
    ],
    "reads_types_when_imported": [
        ("entitlements/store.py", module("import msgspec\nx = msgspec.json.decode(b'1', type=int)"), "two threads"),
        (
            "entitlements/store.py",
            module("from msgspec.json import Decoder\n\ndef _read():\n    return Decoder(int)"),
            "make a msgspec.json.Decoder on top",
        ),
    ],
    "appends_only": [
        ("entitlements/store.py", module("from sqlalchemy import delete\nx = delete(grants)"), "delete rewrites rows"),
        ("entitlements/store.py", module("from sqlalchemy import update as u\nx = u(grants)"), "u rewrites rows"),
        (
            "entitlements/store.py",
            module("import sqlalchemy as sa\nx = sa.sql.delete(grants)"),
            "sa.sql.delete rewrites",
        ),
        ("entitlements/store.py", module("from sqlalchemy import delete\nx = map(delete, facts)"), "delete rewrites"),
        ("entitlements/store.py", module("x = grants.delete()"), "grants.delete rewrites rows"),
        ("entitlements/store.py", module("import sqlalchemy\nx = grants.update()"), "grants.update rewrites rows"),
        ("entitlements/ledger.py", module("from sqlalchemy import update\nx = update(grants)"), "update rewrites rows"),
        (
            "entitlements/ledger.py",
            module(
                "from sqlalchemy import delete\nfrom entitlements.tables import grants as consumer_offsets\n"
                "x = delete(consumer_offsets)"
            ),
            "delete rewrites rows",
        ),
        (
            "consumers/batch.py",
            module("from entitlements.store import grants\nx = grants.update()"),
            "grants.update rewrites rows",
        ),
        ("consumers/batch.py", module("from sqlalchemy import delete\nx = delete(grants)"), "delete rewrites rows"),
        (
            "entitlements/api/snapshots.py",
            module("x = statement.on_conflict_do_update(set_={})"),
            "let the row that is there stay",
        ),
        ("entitlements/store.py", module("x = 'delete from grants'"), "rewrites rows in SQL"),
        ("entitlements/store.py", module("def _f(a):\n    return f'UPDATE grants SET id = {a}'"), "rewrites"),
        ("ops/database.py", module("x = ' truncate grants'"), "rewrites rows in SQL"),
        ("entitlements/store.py", module("x = 'with old as (select 1)\\n DELETE\\n FROM grants'"), "in SQL"),
    ],
    "has_a_telling_name": [
        ("ingest/utils.py", module("x = 1"), "utils says nothing"),
        ("tests/unit/invoice_helpers.py", module("x = 1"), "invoice_helpers says nothing"),
        ("ops/base.py", module("x = 1"), "base says nothing"),
    ],
    "inherits_little": [
        ("ops/up.py", module("class _A:\n    pass\n\nclass _B(_A):\n    pass"), "_B inherits from _A"),
        (
            "ops/up.py",
            module("from ops.server import Server\n\nclass _Kafka(Server):\n    pass"),
            "inherits from Server",
        ),
        ("ops/up.py", module("from abc import ABC\n\nclass _A(ABC):\n    pass"), "inherits from ABC"),
        ("ops/up.py", module("from abc import ABCMeta\n\nclass _A(metaclass=ABCMeta):\n    pass"), "metaclass=ABCMeta"),
        ("ops/up.py", module("class _Facts(dict[str, int]):\n    pass"), "inherits from dict[str, int]"),
    ],
    "freezes_dataclasses": [
        ("ops/up.py", module(SHARED_STATE.format("slots=True, kw_only=True")), "lacks frozen=True"),
        ("ops/up.py", module(SHARED_STATE.format("frozen=True, kw_only=True")), "lacks slots=True"),
        ("ops/up.py", module(SHARED_STATE.format("frozen=True, slots=True")), "lacks kw_only=True"),
        ("ops/up.py", module(SHARED_STATE.format("frozen=False, slots=True, kw_only=True")), "lacks frozen=True"),
        (
            "ops/up.py",
            module("import dataclasses\n\n@dataclasses.dataclass\nclass _Fact:\n    id: str"),
            "lacks frozen=True, kw_only=True, slots=True",
        ),
    ],
    "is_short_or_says_why": [
        ("ops/up.py", module(lines(249)), "has 251 lines"),
        ("ops/up.py", module(f"def _long():\n{lines(40, '    x = 1')}"), "_long has 41 lines"),
        (
            "ops/up.py",
            module(f"class _A:\n    async def _long(self):\n{lines(40, '        x = 1')}"),
            "_long has 41 lines",
        ),
    ],
    "says_what_it_is_for": [
        ("ops/up.py", "x = 1\n", "has no docstring"),
        ("ops/__init__.py", "x = 1\n", "has no docstring"),
        ("ops/up.py", module("x = 1", "the supervisor"), "does not begin with a sentence"),
        ("ops/up.py", module("x = 1", "The supervisor"), "does not begin with a sentence"),
    ],
    "says_which_edge_it_is": [
        ("ingest/app.py", module("x = 1", "Takes what Stripe delivers."), "neither that it is pure nor which edge"),
    ],
    "documents_what_is_public": [
        ("ingest/app.py", module("def app():\n    return 1"), "app has no docstring"),
        ("ops/up.py", module("class Running:\n    pass"), "Running has no docstring"),
        ("schemas/codec.py", module('async def decode():\n    """decodes"""'), "does not begin with a sentence"),
    ],
    "states_a_fact": [
        ("tests/unit/test_a.py", module("def test_a():\n    assert str(1)"), "needs a docstring of one line"),
        ("tests/unit/test_a.py", module('def test_a():\n    """A.\n\n    B."""\n    assert str(1)'), "of one line"),
        ("tests/unit/test_a.py", module('async def test_a():\n    """a test"""\n    assert str(1)'), "full stop"),
    ],
    "checks_something": [
        ("tests/unit/test_a.py", module('def test_a():\n    """A fact."""\n    x = 1'), "checks nothing"),
        ("tests/unit/test_a.py", module('def test_a():\n    """A fact."""\n    str(1)'), "checks nothing"),
        ("tests/unit/test_a.py", a_test("assert True"), "asserts True, which nothing can change"),
        ("tests/unit/test_a.py", a_test("assert (a, 'y')"), "asserts (a, 'y'), which nothing can change"),
        ("tests/unit/test_a.py", a_test("assert [a]"), "asserts [a]"),
        ("tests/unit/test_a.py", a_test("assert {'a': a}"), "asserts {'a': a}"),
        ("tests/unit/test_a.py", a_test("assert 'a is empty'"), "asserts 'a is empty'"),
        ("tests/unit/test_a.py", a_test("assert f'{a}'"), "which nothing can change"),
        ("tests/unit/test_a.py", a_test("assert (x for x in a)"), "which nothing can change"),
        ("tests/unit/test_a.py", a_test("assert lambda: a"), "which nothing can change"),
        ("tests/unit/test_a.py", a_test("assert a or True"), "asserts a or True"),
        ("tests/unit/test_a.py", a_test("assert not ()"), "asserts not ()"),
        ("tests/unit/test_a.py", a_test("assert 1 == 1"), "asserts 1 == 1"),
        ("tests/yard.py", module("def _check(a):\n    assert a, 1\n    assert (a, 1)"), "asserts (a, 1)"),
        (
            "tests/unit/test_a.py",
            a_test("with pytest.raises(Exception):\n        a()", "import pytest\n\n"),
            "pytest.raises expects anything: name the exception",
        ),
        (
            "tests/unit/test_a.py",
            a_test(
                "with raises((ValueError, BaseException), match='a'):\n        a()", "from pytest import raises\n\n"
            ),
            "pytest.raises expects anything",
        ),
        (
            "tests/unit/test_a.py",
            a_test("pytest.raises(expected_exception=Exception)", "import pytest\n\n"),
            "expects anything",
        ),
        ("tests/unit/test_a.py", a_test("pytest.raises(match='a')", "import pytest\n\n"), "expects anything"),
    ],
    "always_runs": [
        ("tests/unit/test_a.py", module("import pytest\npytest.skip('no server')"), "uses pytest.skip"),
        ("tests/unit/test_a.py", module("from pytest import importorskip\nx = importorskip('kafka')"), "importorskip"),
        ("tests/unit/test_a.py", module("import pytest\npytestmark = pytest.mark.skipif(True)"), "pytest.mark.skipif"),
        ("tests/conftest.py", module("import pytest\nx = [pytest.mark.xfail]"), "pytest.mark.xfail"),
        ("tests/unit/test_a.py", module("from unittest import SkipTest\nraise SkipTest"), "unittest.SkipTest"),
        ("tests/unit/test_a.py", module("import pytest\npytest.exit('enough')"), "uses pytest.exit"),
        ("tests/unit/test_a.py", a_test("if CI: return\n    assert a"), "test_a returns: run it to its end"),
        ("tests/unit/test_a.py", a_test("if CI:\n        return None\n    assert a"), "test_a returns"),
        ("tests/unit/test_a.py", a_test("for b in a:\n        assert b\n        return"), "test_a returns"),
        ("tests/unit/test_a.py", a_test("if not CI:\n        assert a"), "checks only where a condition holds"),
        (
            "tests/unit/test_a.py",
            a_test("try:\n        a()\n    except ValueError as error:\n        assert error.args"),
            "checks only where a condition holds",
        ),
    ],
    "is_flat": [
        (
            "tests/unit/test_a.py",
            module("class TestA:\n    def test_a(self):\n        assert self"),
            "TestA holds tests",
        ),
    ],
    "names_no_machine": [
        ("ops/up.py", module(f"x = '{WORK}/data'"), "a folder of one machine"),
        ("docs/architecture.md", f"Look into {HOME}/ops.\n", "a folder of one machine"),
    ],
    "names_no_index": [
        ("requirements.txt", f"# from https://{INDEX}/simple\n", f"names {INDEX}"),
        ("requirements.txt", f"{OPTION} https://packages.example.com/simple\n", f"names {OPTION}"),
        ("ops/kafka-pom.xml", f"<url>https://{MAVEN}/maven2</url>\n", f"names {MAVEN}"),
        ("Dockerfile", f"FROM {REGISTRY}/library/python:3.11\n", f"names {REGISTRY}/"),
        ("docker-compose.yml", f"image: {REGISTRY}/apache/kafka:4.3.1\n", f"names {REGISTRY}/"),
    ],
}
"""For each rule, files that break it, and what is said of them."""

LAWFUL = [
    ("entitlements/store.py", module("import msgspec\nx = msgspec.json.Decoder(int)\ny = msgspec.json.decode(b'1')")),
    ("consumers/runner.py", module("from entitlements import ledger\nx = ledger.begin()")),
    ("entitlements/ledger.py", module("from sqlalchemy import func\nx = func.now()")),
    ("consumers/runner.py", module("import consumers.log\nx = consumers.log.Log")),
    ("consumers/runner.py", module("from consumers import log\nx = log.Log")),
    ("consumers/runner.py", module("x = [consumers.grants for consumers in found]")),
    ("tests/unit/test_a.py", module("import consumers.log\nx = consumers.grants")),
    ("ingest/app.py", module("import os\nfrom asyncio import timeout\nfrom http import HTTPStatus\nx = os.urandom(8)")),
    ("ingest/publisher.py", module("import asyncio, logging, re\nx = asyncio.create_task")),
    ("entitlements/api/requests.py", module("from urllib.parse import parse_qsl")),
    ("consumers/runner.py", module("import threading, logging, time")),
    ("ops/up.py", module("import subprocess, socket, urllib.request, sqlite3, http.client")),
    ("tests/yard.py", module("import subprocess, socket, urllib.request, http.client")),
    ("entitlements/ledger.py", module("from sqlalchemy import update\nx = update(consumer_offsets).where(at)")),
    ("entitlements/ledger.py", module("import sqlalchemy\nx = consumer_offsets.update()")),
    ("entitlements/store.py", module("x = statement.on_conflict_do_update(set_={})")),
    ("entitlements/store.py", module("import sqlalchemy\nx = statement.on_conflict_do_nothing()\ny |= {1: 2}")),
    ("entitlements/store.py", module('def _f():\n    """Never: delete from grants."""\n    x = "update the catalog"')),
    ("entitlements/domain/catalog.py", module("def _f(plans):\n    plans.update({'a': 1})")),
    ("tests/yard.py", module("import sqlalchemy\nx = sqlalchemy.delete(grants)")),
    ("entitlements/domain/access.py", module("x = lambda cycle: cycle.begin")),
    ("schemas/codec.py", module("import msgspec\nfrom schemas.topics import EVENTS")),
    ("consumers/__init__.py", ""),
    ("tests/unit/test_a.py", module("import stripe\nimport hypothesis\nimport kafka, sqlalchemy, yaml")),
    ("ops/up.py", module(lines(248))),
    ("ops/up.py", module(f'def _short():\n    """Short.\n    """\n{lines(39, "    x = 1")}')),
    ("ops/up.py", module(f'def _long():\n    """Long because it is a table."""\n{lines(41, "    x = 1")}')),
    ("ops/up.py", module(lines(250), "A table.\n\nIt is longer than others because\nit has many rows.")),
    ("ops/up.py", module("class _A(Exception):\n    pass\n\nclass _B(_A):\n    pass")),
    ("ops/up.py", module("from typing import Generic, TypeVar\nF = TypeVar('F')\n\nclass _A(Generic[F]):\n    pass")),
    ("ops/up.py", module("try:\n    x = 1\nexcept ValueError:\n    pass")),
    ("ops/up.py", module("try:\n    x = 1\nexcept Exception:\n    x = 2\n    raise")),
    ("ops/up.py", broad("if error.args:\n        raise KeyError from error\n    x = 2")),
    ("ops/up.py", module("try:\n    x = 1\nexcept (ValueError, KeyError):\n    x = 2")),
    ("tests/yard.py", broad("raised.append(error)", "raised = []\n")),
    ("tests/unit/test_a.py", a_test("assert a == (1, 2), 'a is wrong'")),
    ("tests/unit/test_a.py", a_test("assert a and [*a] and not a[0]")),
    ("tests/unit/test_a.py", a_test("assert a() is True")),
    ("tests/unit/test_a.py", a_test("def found():\n        return a\n    assert found()")),
    ("tests/unit/test_a.py", a_test("if a:\n        a = 1\n    for b in (1, 2):\n        assert a == b")),
    (
        "tests/unit/test_a.py",
        module(
            'import pytest\n\ndef test_a():\n    """A fact."""\n    with pytest.raises(ValueError):\n        int("a")'
        ),
    ),
    (
        "docs/a.md",
        f"See https://docs.stripe.com{WORK}/page and ..{WORK}/notes, at http://maven.apache.org/POM/4.0.0.\n",
    ),
]


@pytest.fixture(scope="module")
def files() -> list[str]:
    return project_files(ROOT)


def test_the_project_keeps_the_house_rules(files: list[str]) -> None:
    """No file of the project breaks a house rule."""
    found = [
        str(violation)
        for path in files
        if (text := text_of(ROOT / path)) is not None
        for violation in violations(path, text)
    ]

    assert not found, "\n".join(["", *found])


@pytest.mark.parametrize(
    ("rule", "path", "text", "message"),
    [
        pytest.param(rule, *trespass, id=f"{rule}-{number}")
        for rule, trespasses in TRESPASSES.items()
        for number, trespass in enumerate(trespasses, 1)
    ],
)
def test_a_trespass_is_caught(rule: str, path: str, text: str, message: str) -> None:
    """A file that breaks one rule is reported by that rule and no other, with its path and what to do instead."""
    caught = violations(path, text)

    assert [rule] == [violation.rule for violation in caught]
    assert message in caught[0].text
    assert str(caught[0]).startswith(f"{path}:{caught[0].line}: ")


@pytest.mark.parametrize(("path", "text"), LAWFUL, ids=[f"{n}-{path}" for n, (path, _) in enumerate(LAWFUL, 1)])
def test_what_is_lawful_passes(path: str, text: str) -> None:
    """What only looks like a trespass is not reported."""
    assert violations(path, text) == []


def test_every_rule_has_been_seen_failing() -> None:
    """No rule is without a trespass that it catches."""
    assert {rule.__name__ for rule in (*SOURCE_RULES, *TEXT_RULES)} == TRESPASSES.keys()


def test_a_trespass_is_reported_with_its_line() -> None:
    """The line is that of the trespass, not of the file."""
    caught = violations("ops/up.py", module("x = 1\ny = 2\nimport stripe"))

    assert [violation.line for violation in caught] == [5]


def test_the_tables_name_what_exists(files: list[str]) -> None:
    """A table of exceptions holds no file or folder that is gone: it would be a hole for the next of that name."""
    folders = {path[:at] for path in files for at, character in enumerate(path) if character == "/"}
    homes = {home for table in (LIBRARIES, STANDARD_LIBRARY) for places in table.values() for home in places}
    edges = {*CLOCK_READERS, *TRANSACTION_OWNERS, *ENVIRONMENT_READERS, *PRINTERS, *KEEPERS, *UPSERTERS, *FREE}
    allowed = {*ROOMS, *homes, *edges, *REWRITTEN, *POSITIONAL, *MUTABLE}

    assert set() == allowed - {*files, *folders}


def test_the_files_are_found_without_git(tmp_path: Path) -> None:
    """In an unpacked tarball the same files are ours: not the virtual environment's, the stack's, or a cache's."""
    for path in (
        "pyproject.toml",
        "ingest/app.py",
        ".ci/run",
        ".gitignore",
        ".venv/lib/site.py",
        ".entitle/kafka/log.py",
        "ops/__pycache__/up.pyc",
        "entitlement_worker.egg-info/PKG-INFO",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")

    assert [".ci/run", ".gitignore", "ingest/app.py", "pyproject.toml"] == project_files(tmp_path) == walked(tmp_path)


def test_what_is_not_text_is_left_alone(tmp_path: Path) -> None:
    """A file that is not UTF-8 has no text to check."""
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff")

    assert text_of(tmp_path / "picture.png") is None
