"""
Settings: read from the environment or from files, refused with one clear line.

Long because there are many settings.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from entitlements.domain.catalog import Catalog
from entitlements.domain.catalog_document import read_catalog
from ops import settings
from ops.settings import Address, BadSetting, Environment
from ops.stack import PORTS
from tests.pure_core import catalog


def environment(**variables: str) -> Environment:
    """An environment of these variables alone."""
    return Environment(variables=variables)


def test_a_secret_is_read_from_the_file_that_its_setting_names(tmp_path: Path) -> None:
    """NAME_FILE gives NAME its value, without the line break at its end."""
    file = tmp_path / "url"
    file.write_text("postgresql://me:secret@db/entitle\n")

    url = settings.database_url(environment(ENTITLE_DATABASE_URL_FILE=str(file)))

    assert url == "postgresql+psycopg2://me:secret@db/entitle"


def test_a_setting_and_its_file_are_not_both_given(tmp_path: Path) -> None:
    """Which of the two counts would be a guess, so both together are refused."""
    with pytest.raises(BadSetting, match="ENTITLE_KAFKA and ENTITLE_KAFKA_FILE are both set"):
        settings.kafka(environment(ENTITLE_KAFKA="a:1", ENTITLE_KAFKA_FILE=str(tmp_path / "x")))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The message names the setting and the file."""
    with pytest.raises(BadSetting, match=r"ENTITLE_QUERY_TOKENS_FILE names .*missing"):
        settings.query_tokens(environment(ENTITLE_QUERY_TOKENS_FILE=str(tmp_path / "missing")))


@pytest.mark.parametrize(
    ("read", "variables", "said"),
    [
        (settings.database_url, {}, "ENTITLE_DATABASE_URL is not set"),
        (settings.database_url, {"ENTITLE_DATABASE_URL": "mysql://x/y"}, "ENTITLE_DATABASE_URL is for mysql"),
        (settings.database_url, {"ENTITLE_DATABASE_URL": "nonsense"}, "ENTITLE_DATABASE_URL is not a URL"),
        (settings.kafka, {}, "ENTITLE_KAFKA is not set"),
        (settings.kafka, {"ENTITLE_KAFKA": "host"}, "ENTITLE_KAFKA is 'host'"),
        (
            settings.kafka,
            {"ENTITLE_KAFKA": "a:1", "ENTITLE_KAFKA_SECURITY_PROTOCOL": "TLS"},
            "ENTITLE_KAFKA_SECURITY_PROTOCOL is 'TLS'",
        ),
        (settings.schema, {"ENTITLE_SCHEMA": 'x"; drop'}, "ENTITLE_SCHEMA is"),
        (settings.settings_schema, {"ENTITLE_SETTINGS_SCHEMA": "Bad-Name"}, "ENTITLE_SETTINGS_SCHEMA is 'Bad-Name'"),
        (
            settings.settings_schema,
            {"ENTITLE_SETTINGS_SCHEMA": "one", "ENTITLE_SCHEMA": "one"},
            "ENTITLE_SETTINGS_SCHEMA is 'one', as ENTITLE_SCHEMA is",
        ),
        (settings.catalog_path, {}, "ENTITLE_CATALOG is not set"),
        (settings.ingest_address, {"ENTITLE_INGEST_ADDRESS": "8080"}, "ENTITLE_INGEST_ADDRESS is '8080'"),
        (settings.query_address, {"ENTITLE_QUERY_ADDRESS": "host:70000"}, "ENTITLE_QUERY_ADDRESS is 'host:70000'"),
        (settings.query_tokens, {}, "ENTITLE_QUERY_TOKENS is not set"),
        (settings.query_tokens, {"ENTITLE_QUERY_TOKENS": "a,,b"}, "ENTITLE_QUERY_TOKENS: "),
        (settings.admin_tokens, {"ENTITLE_ADMIN_TOKENS": "a@"}, "ENTITLE_ADMIN_TOKENS: "),
        (settings.gateway_trust, {"ENTITLE_CREDENTIALS": "token:X"}, "ENTITLE_CREDENTIALS: 'token:X' is none of"),
        (settings.gateway_trust, {"ENTITLE_API_HEADER": "Host"}, "ENTITLE_API_HEADER: the header Host means"),
        (settings.gateway_trust, {"ENTITLE_API_HEADER": "x-api-key"}, "ENTITLE_API_HEADER: the header x-api-key is a"),
        (settings.health_address, {"ENTITLE_HEALTH_ADDRESS": "9000"}, "ENTITLE_HEALTH_ADDRESS is '9000'"),
        (settings.log_format, {"ENTITLE_LOG_FORMAT": "xml"}, "ENTITLE_LOG_FORMAT is 'xml': it takes one of text, json"),
        (settings.log_level, {"ENTITLE_LOG_LEVEL": "loud"}, "ENTITLE_LOG_LEVEL is 'loud'"),
        (settings.log_topics, {"ENTITLE_EVENT_PARTITIONS": "0"}, "ENTITLE_EVENT_PARTITIONS is '0'"),
        (settings.log_topics, {"ENTITLE_EVENT_RETENTION_DAYS": "long"}, "ENTITLE_EVENT_RETENTION_DAYS is 'long'"),
    ],
)
def test_a_wrong_or_missing_setting_is_named(read: object, variables: dict[str, str], said: str) -> None:
    """Each refusal begins with the setting's name and says what is wrong, in one line."""
    assert callable(read)
    with pytest.raises(BadSetting) as refused:
        read(environment(**variables))

    assert str(refused.value).startswith(said)
    assert "\n" not in str(refused.value)


def test_kafka_s_security_is_passed_on_as_kafka_python_names_it() -> None:
    """Each ENTITLE_KAFKA_ setting becomes the argument of kafka-python that means the same."""
    source = settings.kafka(
        environment(
            ENTITLE_KAFKA="a:9092,b:9092",
            ENTITLE_KAFKA_SECURITY_PROTOCOL="SASL_SSL",
            ENTITLE_KAFKA_SASL_MECHANISM="SCRAM-SHA-512",
            ENTITLE_KAFKA_USERNAME="me",
            ENTITLE_KAFKA_PASSWORD="secret",
            ENTITLE_KAFKA_CA_FILE=__file__,
        )
    )

    assert source.bootstrap == "a:9092,b:9092"
    assert dict(source.security) == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "me",
        "sasl_plain_password": "secret",
        "ssl_cafile": __file__,
    }


def test_an_integration_has_all_of_its_secrets() -> None:
    """The variable that the catalog names holds several secrets, so that one can be rolled."""
    found, _ = read_catalog(catalog())
    assert found is not None
    integrations = settings.integrations(environment(STRIPE_SIGNING_SECRETS="whsec_old, whsec_new"), found)

    assert integrations["main"].signing_secrets == ("whsec_old", "whsec_new")
    assert integrations["main"].mode == "test"


def test_an_integration_without_secrets_is_refused() -> None:
    """An empty secret would let anyone sign, so there must be one."""
    found, _ = read_catalog(catalog())
    assert found is not None
    with pytest.raises(BadSetting, match="STRIPE_SIGNING_SECRETS"):
        settings.integrations(environment(STRIPE_SIGNING_SECRETS=" , "), found)


def with_key() -> Catalog:
    """A catalog whose test integration names a key of Stripe's API, and whose other one does not."""
    main = {"mode": "test", "signing_secrets_env": "S", "api_key_env": "STRIPE_API_KEY"}
    found, mistakes = read_catalog(catalog() | {"integrations": {"main": main, "other": {**main, "api_key_env": None}}})
    assert found is not None, mistakes
    return found


@pytest.mark.parametrize("key", ["rk_test_1", "sk_test_1", "rk_test_1\n", "sk_org_1", "rk_1"])
def test_a_key_of_stripes_api_is_read(key: str) -> None:
    """Restricted or not; of which account it is, is in the catalog's name for it alone."""
    assert settings.stripe_keys(environment(STRIPE_API_KEY=key), with_key()) == {"main": key.strip()}


def test_a_key_of_stripes_api_may_be_in_a_file(tmp_path: Path) -> None:
    """As every secret may."""
    (tmp_path / "key").write_text("rk_test_1\n")

    assert settings.stripe_keys(environment(STRIPE_API_KEY_FILE=str(tmp_path / "key")), with_key()) == {
        "main": "rk_test_1"
    }


@pytest.mark.parametrize("variables", [{}, {"STRIPE_API_KEY": ""}, {"STRIPE_API_KEY": "  "}])
def test_no_key_of_stripes_api_is_no_mistake(variables: dict[str, str]) -> None:
    """Without one, events are published as Stripe sent them."""
    assert settings.stripe_keys(environment(**variables), with_key()) == {}


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("rk_live_hidden", "STRIPE_API_KEY: .* for live mode, and that integration is for test mode"),
        ("pk_test_hidden", "STRIPE_API_KEY: .* begins with rk_"),
        ("whsec_hidden", "STRIPE_API_KEY: .* begins with rk_"),
        ("rk_test_hidden key", "STRIPE_API_KEY: .* no white space"),
        ("rk_test_hidden\x00", "STRIPE_API_KEY: .* no white space"),
    ],
)
def test_a_key_that_can_not_be_right_is_refused(key: str, said: str) -> None:
    """Of the other mode, or no such key: said before anything is opened, without quoting it."""
    with pytest.raises(BadSetting, match=said) as refused:
        settings.stripe_keys(environment(STRIPE_API_KEY=key), with_key())

    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize("address", ["https://api.example.com", "https://proxy:8443", "http://127.0.0.1:8090"])
def test_stripes_api_may_be_elsewhere(address: str) -> None:
    """With TLS, or on this machine."""
    assert settings.stripe_address(environment(ENTITLE_STRIPE_API=address)) == address
    assert settings.stripe_address(environment()) is None


@pytest.mark.parametrize(
    "address", ["http://api.example.com", "https://api.example.com/", "https://a@b", "http://127.0.0.1.example", "x"]
)
def test_the_key_is_never_sent_in_the_clear(address: str) -> None:
    """An address without TLS that is not this machine's, or that is more than an address, is refused."""
    with pytest.raises(BadSetting, match="ENTITLE_STRIPE_API is"):
        settings.stripe_address(environment(ENTITLE_STRIPE_API=address))


def test_what_is_not_set_has_the_contract_s_default() -> None:
    """Listeners are on 127.0.0.1 unless told otherwise; topics keep events for ever, in six partitions."""
    nothing = environment()

    assert Address("127.0.0.1", 8080) == settings.ingest_address(nothing)
    assert Address("127.0.0.1", 8081) == settings.query_address(nothing)
    events, *_ = settings.log_topics(nothing)
    assert (events.partitions, events.config["retention.ms"]) == (6, "-1")


def test_a_value_that_is_supplied_takes_the_place_of_its_file() -> None:
    """What is handed down to child processes is one of the two, so that they don't find both."""
    handed_down = environment(ENTITLE_CATALOG_FILE="where").with_values({"ENTITLE_CATALOG": "catalog.yaml"})

    assert {"ENTITLE_CATALOG": "catalog.yaml"} == dict(handed_down.variables)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"PROTOCOL": "SASL_SSL"}, "ENTITLE_KAFKA_SASL_MECHANISM is None"),
        ({"PROTOCOL": "SASL_SSL", "MECHANISM": "FOO"}, "ENTITLE_KAFKA_SASL_MECHANISM is 'FOO'"),
        ({"PROTOCOL": "SASL_SSL", "MECHANISM": "PLAIN"}, "ENTITLE_KAFKA_USERNAME is not set"),
        ({"PROTOCOL": "SSL", "CA": "/nowhere/ca.pem"}, "ENTITLE_KAFKA_CA_FILE names /nowhere/ca.pem"),
    ],
)
def test_security_that_cannot_work_is_named(variables: dict[str, str], said: str) -> None:
    """kafka-python would only say that no broker answers; we say which setting is wrong."""
    names = {
        "PROTOCOL": "ENTITLE_KAFKA_SECURITY_PROTOCOL",
        "MECHANISM": "ENTITLE_KAFKA_SASL_MECHANISM",
        "CA": "ENTITLE_KAFKA_CA_FILE",
    }
    with pytest.raises(BadSetting, match=said):
        settings.kafka(environment(ENTITLE_KAFKA="a:1", **{names[name]: value for name, value in variables.items()}))


def test_an_ipv6_address_is_written_in_brackets() -> None:
    """Only so is it part of a URL."""
    assert "[::1]:8080" == str(settings.ingest_address(environment(ENTITLE_INGEST_ADDRESS="[::1]:8080")))


def test_a_free_address_is_none_that_the_system_gives_to_clients() -> None:
    """A client that has it by chance would keep a listener that was killed from being started again."""
    assert {settings.free_address().port in PORTS for _ in range(20)} == {True}


@pytest.mark.parametrize("text", ["1", "0.01", "1 %", "-1%", "101%", "1.5.5%", "%", "one%"])
def test_a_share_is_a_percentage(text: str) -> None:
    """A number without its sign would be taken for a fraction by one and for a percentage by another."""
    with pytest.raises(BadSetting, match=r"ENTITLE_BRAKE_SHARE is .*it takes a percentage from 0% to 100%"):
        settings.brake(environment(ENTITLE_BRAKE_SHARE=text))


def test_a_share_is_exact() -> None:
    """By default a hundredth; tenths of a percent are kept as they are."""
    given = [{}, {"ENTITLE_BRAKE_SHARE": "0.1%"}, {"ENTITLE_BRAKE_SHARE": "0%"}, {"ENTITLE_BRAKE_SHARE": "100%"}]

    assert [settings.brake(environment(**each)).share for each in given] == [
        Fraction(1, 100),
        Fraction(1, 1000),
        Fraction(0),
        Fraction(1),
    ]
