"""
Settings from the environment, read once and handed down frozen (contract, section 2). The only reader of it.

`NAME_FILE` reads the value of `NAME` from a file, for secrets. A wrong or missing setting raises `BadSetting`, whose
text is the one line that an operator sees before anything is opened. Long because there are many settings, and one
place that reads them.
"""

from __future__ import annotations

import os
import random
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from consumers.log import Source
from consumers.runner import DEAD_LETTERS_IN_A_ROW
from entitlements.api.credentials import DEFAULT_CREDENTIALS, Trust, parse_credentials, parse_header
from entitlements.api.memory import Limits
from entitlements.api.tokens import Token, parse_tokens
from entitlements.domain.brake import Brake
from entitlements.domain.catalog import Catalog
from entitlements.domain.catalog import Integration as CatalogIntegration
from ingest.delivery import Integration
from ops.logs import LEVELS, LogFormat
from ops.server import HOST
from ops.stack import PORTS, is_free
from schemas.topics import KEEP_FOR_EVER, Topic, topics

EXAMPLE_CATALOG = Path(__file__).with_name("catalog.example.yaml")
PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\s]+):(?P<port>\d{1,5})")
_STRIPE_KEY = re.compile(r"(?:rk|sk)_(?:(?P<mode>test|live)_)?[\x21-\x7e]+")
_STRIPE_ADDRESS = re.compile(
    r"https://[A-Za-z0-9.-]+(?::\d{1,5})?|http://(?:127\.0\.0\.1|localhost|\[::1\])(?::\d{1,5})?"
)
_PERCENTAGE = re.compile(r"\d{1,3}(?:\.\d{1,6})?%", re.ASCII)
_BASE_URL = re.compile(r"https?://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?(?:/[A-Za-z0-9._~-]+)*/?")
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")


class BadSetting(Exception):
    """A setting is missing or can't be used: the text names it and says what it should be."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a listener listens, or a client connects."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """The process's environment, as it was when it started."""

    variables: Mapping[str, str] = field(default_factory=lambda: MappingProxyType(dict(os.environ)))

    def get(self, name: str, default: str | None = None) -> str | None:
        """The value of *name*, or what is in the file that *name*_FILE names, without its last line break."""
        value, file = self.variables.get(name), self.variables.get(f"{name}_FILE")
        if value and file:
            raise BadSetting(f"{name} and {name}_FILE are both set: unset one of them")
        if not file:
            return value or default
        try:
            return Path(file).read_text(encoding="utf-8").rstrip("\r\n") or default
        except (OSError, UnicodeDecodeError) as error:
            raise BadSetting(f"{name}_FILE names {file}, which cannot be read: {error}") from error

    def require(self, name: str, what: str) -> str:
        """The value of *name*; *what* tells the operator what to set it to."""
        value = self.get(name)
        if value is None:
            raise BadSetting(f"{name} is not set: {what}")
        return value

    def with_values(self, values: Mapping[str, str]) -> Environment:
        """The same with *values* on top, in place of files that were named for them."""
        replaced = {f"{name}_FILE" for name in values}
        kept = {name: value for name, value in self.variables.items() if name not in replaced}
        return Environment(variables=MappingProxyType(kept | dict(values)))


def database_url(environment: Environment) -> str:
    """`ENTITLE_DATABASE_URL`, checked to be a PostgreSQL one."""
    example = "postgresql://user:password@host:5432/database"
    text = environment.require("ENTITLE_DATABASE_URL", f"the database's URL, such as {example}")
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        raise BadSetting(f"ENTITLE_DATABASE_URL is not a URL; it looks like {example}") from error
    if url.get_backend_name() not in ("postgresql", "postgres"):
        raise BadSetting(f"ENTITLE_DATABASE_URL is for {url.get_backend_name()}; it looks like {example}")
    return url.set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)


def schema(environment: Environment) -> str:
    """`ENTITLE_SCHEMA`: the PostgreSQL schema of the facts."""
    return _schema_name("ENTITLE_SCHEMA", environment.get("ENTITLE_SCHEMA", "entitlements") or "")


def settings_schema(environment: Environment) -> str:
    """`ENTITLE_SETTINGS_SCHEMA`: the one of what operators set, apart from the facts', which a rebuild makes anew."""
    name = _schema_name("ENTITLE_SETTINGS_SCHEMA", environment.get("ENTITLE_SETTINGS_SCHEMA", "entitle_settings") or "")
    if name == schema(environment):
        raise BadSetting(f"ENTITLE_SETTINGS_SCHEMA is {name!r}, as ENTITLE_SCHEMA is: it takes a schema of its own")
    return name


def kafka(environment: Environment) -> Source:
    """`ENTITLE_KAFKA` and its `_SECURITY_PROTOCOL`, `_SASL_MECHANISM`, `_USERNAME`, `_PASSWORD`, `_CA_FILE`."""
    bootstrap = environment.require("ENTITLE_KAFKA", "bootstrap servers, such as host:9092 or a:9092,b:9092")
    for server in bootstrap.split(","):
        _address("ENTITLE_KAFKA", server.strip())
    names = {
        "security_protocol": "ENTITLE_KAFKA_SECURITY_PROTOCOL",
        "sasl_mechanism": "ENTITLE_KAFKA_SASL_MECHANISM",
        "sasl_plain_username": "ENTITLE_KAFKA_USERNAME",
        "sasl_plain_password": "ENTITLE_KAFKA_PASSWORD",
        "ssl_cafile": "ENTITLE_KAFKA_CA_FILE",
    }
    given = {setting: value for setting, name in names.items() if (value := environment.get(name))}
    _check_security(given, names)
    return Source(bootstrap=bootstrap, security=MappingProxyType(dict[str, Any](given)))


def _check_security(given: Mapping[str, str], names: Mapping[str, str]) -> None:
    """kafka-python would only say that no broker answers."""
    protocol = given.get("security_protocol", "PLAINTEXT")
    if protocol not in PROTOCOLS:
        raise BadSetting(f"{names['security_protocol']} is {protocol!r}: it takes one of {', '.join(PROTOCOLS)}")
    if protocol.startswith("SASL"):
        mechanism = given.get("sasl_mechanism")
        if mechanism not in MECHANISMS:
            raise BadSetting(f"{names['sasl_mechanism']} is {mechanism!r}: it takes one of {', '.join(MECHANISMS)}")
        for setting in ("sasl_plain_username", "sasl_plain_password"):
            if setting not in given:
                raise BadSetting(f"{names[setting]} is not set: {protocol} needs it")
    if (file := given.get("ssl_cafile")) is not None and not os.access(file, os.R_OK):
        raise BadSetting(f"{names['ssl_cafile']} names {file}, which cannot be read")


def log_topics(environment: Environment) -> tuple[Topic, ...]:
    """The topics as the settings want them created."""
    return topics(
        event_partitions=_count(environment, "ENTITLE_EVENT_PARTITIONS", 6),
        event_retention_ms=_retention(environment),
        replication_factor=_count(environment, "ENTITLE_REPLICATION_FACTOR", 1),
        min_insync_replicas=_count(environment, "ENTITLE_MIN_INSYNC_REPLICAS", 1),
    )


def dead_letters_in_a_row(environment: Environment) -> int:
    """`ENTITLE_DEAD_LETTERS_IN_A_ROW`: how many a consumer sets aside in a partition before it stops."""
    return _count(environment, "ENTITLE_DEAD_LETTERS_IN_A_ROW", DEAD_LETTERS_IN_A_ROW)


def feed_retention(environment: Environment) -> timedelta:
    """`ENTITLE_FEED_RETENTION_DAYS`: how old a number of the change feed may be for a reader to go on behind it."""
    return timedelta(days=_count(environment, "ENTITLE_FEED_RETENTION_DAYS", 7))


def brake(environment: Environment) -> Brake:
    """`ENTITLE_BRAKE_SHARE`: of the customers with anything open, how many may lose some of it without being asked."""
    text = environment.get("ENTITLE_BRAKE_SHARE", "1%") or ""
    if not _PERCENTAGE.fullmatch(text) or not 0 <= (percent := Fraction(text.removesuffix("%"))) <= 100:
        raise BadSetting(f"ENTITLE_BRAKE_SHARE is {text!r}: it takes a percentage from 0% to 100%, such as 1% or 0.5%")
    return Brake(share=percent / 100)


def catalog_path(environment: Environment) -> Path:
    """`ENTITLE_CATALOG`, which must be set where the program is not only tried out."""
    return Path(environment.require("ENTITLE_CATALOG", "the path of the catalog's YAML file"))


def ingest_address(environment: Environment) -> Address:
    """`ENTITLE_INGEST_ADDRESS`: where Stripe's webhooks come in."""
    return _address("ENTITLE_INGEST_ADDRESS", environment.get("ENTITLE_INGEST_ADDRESS", "127.0.0.1:8080") or "")


def query_address(environment: Environment) -> Address:
    """`ENTITLE_QUERY_ADDRESS`: where gateways ask."""
    return _address("ENTITLE_QUERY_ADDRESS", environment.get("ENTITLE_QUERY_ADDRESS", "127.0.0.1:8081") or "")


def query_url(environment: Environment) -> str | None:
    """`ENTITLE_QUERY_URL`: the base address by which gateways reach the query side; None: the one that each asks."""
    text = environment.get("ENTITLE_QUERY_URL")
    if text is None:
        return None
    if not _BASE_URL.fullmatch(text):
        example = "https://host, https://host:port or https://host/path"
        raise BadSetting(f"ENTITLE_QUERY_URL is {text!r}: it takes {example}")
    return text.rstrip("/")


def log_format(environment: Environment) -> LogFormat:
    """`ENTITLE_LOG_FORMAT`: lines for people, or JSON."""
    name = environment.get("ENTITLE_LOG_FORMAT", LogFormat.TEXT) or ""
    try:
        return LogFormat(name)
    except ValueError:
        raise BadSetting(f"ENTITLE_LOG_FORMAT is {name!r}: it takes one of {', '.join(LogFormat)}") from None


def log_level(environment: Environment) -> int:
    """`ENTITLE_LOG_LEVEL`: from which level on our own code is heard; libraries never below INFO."""
    name = environment.get("ENTITLE_LOG_LEVEL", "info") or ""
    if name not in LEVELS:
        raise BadSetting(f"ENTITLE_LOG_LEVEL is {name!r}: it takes one of {', '.join(LEVELS)}")
    return LEVELS[name]


def health_address(environment: Environment) -> Address | None:
    """`ENTITLE_HEALTH_ADDRESS`: where a process without another listener says how it is; None where it is not asked."""
    text = environment.get("ENTITLE_HEALTH_ADDRESS")
    return None if text is None else _address("ENTITLE_HEALTH_ADDRESS", text)


def listening(name: str, address: Address) -> socket.socket:
    """A socket that listens on *address*, which the setting *name* gave; `BadSetting` where it can't."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address.host, address.port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise BadSetting(f"{name}: cannot listen on {address}: {error.strerror or error}") from error
    return listener


def free_address() -> Address:
    """
    An address of this machine that nobody listens on, for what is only tried out.

    It is none that the system gives to clients: one of them could have it when the listener is started again.
    """
    ports = iter(lambda: random.SystemRandom().choice(PORTS), None)
    return Address(HOST, next(port for port in ports if is_free(port)))


def query_tokens(environment: Environment) -> tuple[Token, ...]:
    """`ENTITLE_QUERY_TOKENS`: the gateways' bearer tokens."""
    text = environment.require(
        "ENTITLE_QUERY_TOKENS", "gateways' bearer tokens, comma-separated: token or token@marketplace"
    )
    return _tokens("ENTITLE_QUERY_TOKENS", text)


def admin_tokens(environment: Environment) -> tuple[Token, ...]:
    """`ENTITLE_ADMIN_TOKENS`: who may change settings over HTTP; nobody where it is not set."""
    text = environment.get("ENTITLE_ADMIN_TOKENS")
    return () if text is None else _tokens("ENTITLE_ADMIN_TOKENS", text)


def memory_limits(environment: Environment) -> Limits:
    """`ENTITLE_MEMORY_MB`, `ENTITLE_MISS_DEADLINE_MS`: how much is remembered, how long the database is waited for."""
    return Limits(
        most_bytes=_count(environment, "ENTITLE_MEMORY_MB", 256) * 1024 * 1024,
        miss_s=_count(environment, "ENTITLE_MISS_DEADLINE_MS", 500) / 1000,
    )


def gateway_trust(environment: Environment) -> Trust:
    """`ENTITLE_CREDENTIALS` and `ENTITLE_API_HEADER`: what is believed of who asks at a mount, and for which API."""
    text = environment.get("ENTITLE_CREDENTIALS", DEFAULT_CREDENTIALS) or ""
    try:
        sources = parse_credentials(text)
    except ValueError as error:
        raise BadSetting(f"ENTITLE_CREDENTIALS: {error}") from None
    header = environment.get("ENTITLE_API_HEADER")
    if header is None:
        return Trust(sources=sources)
    try:
        api_header = parse_header(header)
    except ValueError as error:
        raise BadSetting(f"ENTITLE_API_HEADER: {error}") from None
    if api_header.lower() in (source.header.lower() for source in sources):
        raise BadSetting(f"ENTITLE_API_HEADER: the header {api_header} is a credential already")
    return Trust(sources=sources, api_header=api_header)


def integrations(environment: Environment, catalog: Catalog) -> dict[str, Integration]:
    """The catalog's integrations with the signing secrets that it names."""
    return {name: _integration(environment, each) for name, each in catalog.integrations.items()}


def _integration(environment: Environment, named: CatalogIntegration) -> Integration:
    text = environment.require(
        named.signing_secrets_env,
        f"signing secrets (whsec_…, comma-separated) of the catalog's integration {named.name}",
    )
    secrets = tuple(secret for part in text.split(",") if (secret := part.strip()))
    if not secrets:
        raise BadSetting(f"{named.signing_secrets_env} holds no signing secret for the integration {named.name}")
    return Integration(name=named.name, mode=named.mode.value, signing_secrets=secrets, accounts=named.accounts)


def stripe_keys(environment: Environment, catalog: Catalog) -> dict[str, str]:
    """By integration, the restricted keys of Stripe's API that the catalog names and the environment has."""
    found = {name: _stripe_key(environment, each) for name, each in catalog.integrations.items()}
    return {name: key for name, key in found.items() if key is not None}


def _stripe_key(environment: Environment, named: CatalogIntegration) -> str | None:
    """Not to have one is no mistake: it only leaves events as Stripe sent them. No message quotes what is there."""
    setting = named.api_key_env
    key = None if setting is None else (environment.get(setting) or "").strip()
    if not key:
        return None
    what = f"{setting}: the key of Stripe's API for the integration {named.name}"
    shape = _STRIPE_KEY.fullmatch(key)
    if shape is None:
        raise BadSetting(f"{what} begins with rk_ (restricted, as is best) or sk_ and has no white space")
    if shape["mode"] not in (None, named.mode.value):
        raise BadSetting(f"{what} is for {shape['mode']} mode, and that integration is for {named.mode.value} mode")
    return key


def stripe_address(environment: Environment) -> str | None:
    """`ENTITLE_STRIPE_API`: where Stripe's API is, if not at Stripe; with TLS, unless it is on this machine."""
    text = environment.get("ENTITLE_STRIPE_API")
    if text is not None and not _STRIPE_ADDRESS.fullmatch(text):
        example = "https://host, or http://127.0.0.1:port"
        raise BadSetting(f"ENTITLE_STRIPE_API is {text!r}: it takes {example}, and nothing behind it")
    return text


def _tokens(name: str, text: str) -> tuple[Token, ...]:
    try:
        return parse_tokens(text)
    except ValueError as error:
        raise BadSetting(f"{name}: {error}") from error


def _schema_name(name: str, text: str) -> str:
    if not _SCHEMA.fullmatch(text):
        raise BadSetting(f"{name} is {text!r}: lower-case letters, digits and underscores, at most 63")
    return text


def _address(name: str, text: str) -> Address:
    found = _ADDRESS.fullmatch(text)
    if found is None or not 0 < int(found["port"]) < 65_536:
        raise BadSetting(f"{name} is {text!r}: it takes host:port, such as 127.0.0.1:8080")
    return Address(found["host"].strip("[]"), int(found["port"]))


def _count(environment: Environment, name: str, default: int) -> int:
    text = environment.get(name, str(default)) or ""
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= 10_000:
        raise BadSetting(f"{name} is {text!r}: it takes a whole number from 1 to 10000")
    return int(text)


def _retention(environment: Environment) -> int:
    text = environment.get("ENTITLE_EVENT_RETENTION_DAYS", "forever") or ""
    if text == "forever":
        return KEEP_FOR_EVER
    return _count(environment, "ENTITLE_EVENT_RETENTION_DAYS", 1) * 24 * 60 * 60 * 1000
