from __future__ import annotations

from flows.redaction import hide_secrets

KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYPLANTED"


def test_passwords_in_addresses_are_hidden_and_the_rest_stays() -> None:
    said = (
        "no answer from 'http://user:pass@host:9000/bucket' and s3://a:b@c, see https://example.org/@me/a@b"
    )
    assert hide_secrets(said, {}) == (
        "no answer from 'http://***@host:9000/bucket' and s3://***@c, see https://example.org/@me/a@b"
    )


def test_the_secrets_of_the_environment_are_hidden() -> None:
    environment = {"AWS_SECRET_ACCESS_KEY": KEY, "AWS_SESSION_TOKEN": "", "AWS_ACCESS_KEY_ID": "AKIAPUBLIC"}
    assert hide_secrets(f"AKIAPUBLIC signed with {KEY}.", environment) == "AKIAPUBLIC signed with ***."


def test_the_password_of_an_endpoint_is_hidden_where_it_is_no_address() -> None:
    for endpoint in ("user:secret@host:9000", "http://user:secret@host:9000", "//user:secret@host"):
        said = f"Invalid endpoint: {endpoint}"
        assert hide_secrets(said, {"AWS_ENDPOINT_URL": endpoint}) == said.replace("user:secret", "***")
    assert hide_secrets("http://host:9000", {"AWS_ENDPOINT_URL": "http://host:9000"}) == "http://host:9000"


def test_the_passwords_of_a_prefect_server_are_hidden() -> None:
    url = "postgresql+asyncpg://prefect:pl4nted@db.example/prefect"
    environment = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": url, "PREFECT_API_AUTH_STRING": "user:an0ther"}
    assert hide_secrets(f"{url} refuses user:an0ther", environment) == "*** refuses ***"


def test_a_short_key_is_not_redacted_inside_words() -> None:
    assert hide_secrets("a test of testing", {"AWS_SECRET_ACCESS_KEY": "test"}) == "a test of testing"
