"""AuthZEN's metadata on a real PostgreSQL and a real listener: under which address it stands."""

from __future__ import annotations

from tests.asking import listening
from tests.servers import new_database
from tests.stated import STORY


def test_metadata_names_what_there_is(database_url: str) -> None:
    """AuthZEN's metadata stands under the base that was asked."""
    with new_database(database_url) as url, listening(url, *STORY) as api:
        answer = api.ask("GET", "/.well-known/authzen-configuration", headers={"Host": "pdp.example.com"})

    assert answer.status == 200
    assert answer.body == {
        "policy_decision_point": "http://pdp.example.com",
        "access_evaluation_endpoint": "http://pdp.example.com/access/v1/evaluation",
        "access_evaluations_endpoint": "http://pdp.example.com/access/v1/evaluations",
    }


def test_metadata_names_the_address_behind_tls(database_url: str) -> None:
    """Where TLS ends at a proxy the process can't see how it was asked: it names the base that the setting says."""
    asked = {"Host": "10.0.0.7:8081", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "attacker.example.com"}
    with (
        new_database(database_url) as url,
        listening(url, *STORY, known_as="https://pdp.example.com/entitle") as behind_tls,
    ):
        answer = behind_tls.ask("GET", "/.well-known/authzen-configuration", headers=asked)

    assert answer.body == {
        "policy_decision_point": "https://pdp.example.com/entitle",
        "access_evaluation_endpoint": "https://pdp.example.com/entitle/access/v1/evaluation",
        "access_evaluations_endpoint": "https://pdp.example.com/entitle/access/v1/evaluations",
    }
