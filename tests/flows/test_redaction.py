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


def test_a_test_servers_short_key_does_not_tear_words() -> None:
    assert hide_secrets("a test of testing", {"AWS_SECRET_ACCESS_KEY": "test"}) == "a test of testing"
