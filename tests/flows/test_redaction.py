from __future__ import annotations

import base64
import json

import pytest

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
    environment = {"AWS_SECRET_ACCESS_KEY": KEY, "AWS_SESSION_TOKEN": ""}
    assert hide_secrets(f"signed with {KEY}.", environment) == "signed with ***."


@pytest.mark.parametrize(
    "name",
    [
        "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "WANDB_API_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN", "OFT_WEBHOOK_SECRET", "PREFECT_API_KEY", "PREFECT_API_AUTH_STRING",
        "PREFECT_SERVER_API_AUTH_STRING", "PREFECT_SERVER_DATABASE_CONNECTION_URL",
        "PREFECT_API_DATABASE_CONNECTION_URL", "PREFECT_SERVER_DATABASE_PASSWORD", "GITHUB_TOKEN",
        "PGPASSWORD", "MYSQL_PWD", "DB_PASS", "SSHPASS", "AZURE_STORAGE_KEY", "WANDB_KEY", "GITHUB_PAT",
        "AZURE_STORAGE_CONNECTION_STRING", "MINIO_SECRETKEY", "API_TOKENS", "hf_token",
    ],
)  # fmt: skip
def test_a_secret_is_known_by_its_variables_name(name: str) -> None:
    assert hide_secrets("said pl4nted-value!", {name: "pl4nted-value"}) == "said ***!"


@pytest.mark.parametrize(
    "name",
    [
        "TOKENIZERS_PARALLELISM",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "HF_TOKEN_PATH",
        "MONKEY",
        "SECRETARY",
        "PWD",
        "OLDPWD",
        "PATH",
    ],
)
def test_other_variables_are_no_secrets(name: str) -> None:
    assert hide_secrets("said some-value!", {name: "some-value"}) == "said some-value!"


def test_the_ids_of_aws_keys_are_hidden_whatever_variable_has_them() -> None:
    said = "AKIAIOSFODNN7EXAMPLE and ASIAIOSFODNN7EXAMPLE, not AKIAIOSFODNN7EXAMPLES nor AKIA"
    assert hide_secrets(said, {}) == "*** and ***, not AKIAIOSFODNN7EXAMPLES nor AKIA"


def test_a_secret_in_an_address_is_hidden_in_every_encoding() -> None:
    secret = "a/b+c d=e&pl4nted"
    for said in (
        "a/b+c d=e&pl4nted",
        "a%2Fb%2Bc+d%3De%26pl4nted",
        "a%2fb%2bc%20d%3de%26pl4nted",
        "a/b%2Bc%20d%3De%26pl4nted",
    ):
        assert hide_secrets(f"https://x/y?k={said}&z", {"HF_TOKEN": secret}) == "https://x/y?k=***&z"


def test_a_secret_that_begins_another_leaves_nothing_of_that() -> None:
    environment = {"A_TOKEN": "pl4nted-one", "B_TOKEN": "pl4nted-one-two"}
    assert hide_secrets("pl4nted-one-two, pl4nted-one", environment) == "***, ***"


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


def test_a_password_is_hidden_alone_and_as_http_sends_it() -> None:
    environment = {
        "PREFECT_API_AUTH_STRING": "oft:pl4nted-one",
        "DATABASE_URL": "postgres://me:pl4nted%2Ftwo@host:5432/db",
    }
    sent = base64.b64encode(b"oft:pl4nted-one").decode()
    said = f"Basic {sent}; pl4nted-one, pl4nted%2Ftwo and pl4nted/two are wrong on host:5432"
    hidden = hide_secrets(said, environment)
    assert hidden.replace("=", "") == "Basic ***; ***, *** and *** are wrong on host:5432"


@pytest.mark.parametrize("secret", ['pl4"nted\\it', "pl4'nted\\it", "pl4'nted\"it", "pl4ntéd-one"])
def test_a_secret_is_hidden_as_json_and_repr_write_it(secret: str) -> None:
    written = [json.dumps([secret]), repr([secret]), repr([f"'{secret}\""]), ascii([secret])]
    for said in (*written, json.dumps([secret], ensure_ascii=False)):
        hidden = hide_secrets(said, {"DB_PASS": secret})
        assert "***" in hidden and "pl4" not in hidden and "nt" not in hidden


def test_space_around_a_secret_is_none_of_it_and_each_line_of_a_key_is_one() -> None:
    assert hide_secrets("token pl4nted-value bad", {"HF_TOKEN": "pl4nted-value\n"}) == "token *** bad"
    key = "-----BEGIN KEY-----\nMIIpl4nted\n-----END KEY-----"
    assert hide_secrets("no key: MIIpl4nted", {"TLS_PRIVATE_KEY": key}) == "no key: ***"


@pytest.mark.parametrize(
    ("said", "hidden"),
    [
        ("u=https%3A%2F%2Fme%3Apl4nted%40host%2Fx", "u=https%3A%2F%2F***%40host%2Fx"),
        ("https%3a%2f%2fhost%2f%40me", "https%3a%2f%2fhost%2f%40me"),
        ("/k?X-Amz-Date=1&X-Amz-Signature=de4d&x=1", "/k?X-Amz-Date=1&X-Amz-Signature=***&x=1"),
        ("/k?X-Amz-Security-Token=FwoG%2F==", "/k?X-Amz-Security-Token=***"),
        ("/x.zip?sv=2022&sig=ab%2Fef%3D 403", "/x.zip?sv=2022&sig=*** 403"),
        (f"Bearer hf_{'aB3' * 12}.", "Bearer ***."),
        ("hf_hub_download of hf_token", "hf_hub_download of hf_token"),
    ],
)
def test_what_is_secret_by_its_form_is_hidden_without_the_environment(said: str, hidden: str) -> None:
    assert hide_secrets(said, {}) == hidden
