"""Keep secrets out of the lines that flows print, log and store."""

from __future__ import annotations

import json
import os
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from urllib.parse import quote, quote_plus, unquote

ENDPOINT = "AWS_ENDPOINT_URL"
HIDDEN = "***"
MIN_LENGTH = 8  # the key of a test server may be a word, or a letter
# HF_TOKEN, WANDB_API_KEY, AWS_ACCESS_KEY_ID, PGPASSWORD, DB_PASS, PREFECT_SERVER_DATABASE_CONNECTION_URL ...;
# but not the name of a file that holds one, nor PWD, which is the working folder.
_SECRET_NAME = re.compile(
    r"(?:^|_)(?:TOKENS?|SECRETS?|CREDENTIALS?|AUTH_STRING|CONNECTION_(?:URL|STRING)|"
    r"[A-Z]*PASS(?:WORD|WD|PHRASE)?|(?<=_)PWD|(?<=_)PAT|(?:API|ACCESS|SECRET|PRIVATE)?KEYS?)(?=_|$)"
    r"(?!.*_(?:FILE|PATH|DIR)$)",
    re.IGNORECASE,
)
# What is secret by its form, with what stands in its place.
_FORMS = (
    (re.compile(r"(?<=://)[^/\s'\"]*@"), f"{HIDDEN}@"),
    (re.compile(r"(?i)(?<=%3A%2F%2F)(?:(?!%2F)[^/\s'\"&])*%40"), f"{HIDDEN}%40"),
    (re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"), HIDDEN),  # ids of AWS keys
    (re.compile(r"\bhf_[0-9A-Za-z]{30,}"), HIDDEN),  # tokens of the Hugging Face Hub
    # Signed addresses of S3 and Azure.
    (re.compile(r"(?i)\b((?:X-Amz-)?(?:Signature|Security-Token)|sig)=[^&\s'\"]+"), rf"\1={HIDDEN}"),
)
_ESCAPE = re.compile(r"%[0-9A-F]{2}")


def hide_secrets(text: str, environment: Mapping[str, str] | None = None) -> str:
    """Return ``text`` without the user names and passwords of addresses and the environment's secrets.

    Libraries put the whole address of an endpoint into their errors, and a secret into an address.
    """
    environment = os.environ if environment is None else environment
    secrets = {each for name, value in environment.items() for each in _secrets(name, value.strip())}
    forms = {form for secret in secrets if len(secret) >= MIN_LENGTH for form in _written(secret)}
    # The longest first: one may be the begin of another.
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, HIDDEN)
    user_info = environment.get(ENDPOINT, "").rpartition("@")[0].rpartition("//")[2]
    if user_info:  # errors repeat a wrong address as it is, without what its form is known by
        text = text.replace(user_info, HIDDEN)
    for form_of_secrets, instead in _FORMS:
        text = form_of_secrets.sub(instead, text)
    return text


def _secrets(name: str, value: str) -> Iterator[str]:
    """Yield what is secret of a variable: its value, its lines, and the password alone in an address."""
    is_secret = _SECRET_NAME.search(name) is not None
    if is_secret:
        yield value
        yield from value.splitlines()
    user_info = value if is_secret and "//" not in value else value.partition("//")[2].rpartition("@")[0]
    password = user_info.partition(":")[2]
    yield password
    yield unquote(password)


def _written(secret: str) -> Iterator[str]:
    """Yield a secret as it is, as addresses, JSON and Python's repr have it, and as HTTP's Basic does."""
    yield secret
    for encoded in (quote(secret), quote(secret, safe=""), quote_plus(secret)):
        yield encoded
        yield _ESCAPE.sub(lambda escape: escape[0].lower(), encoded)
    yield from (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
    # With both quotes before it, repr escapes the single ones of a secret.
    yield from (repr(secret)[1:-1], repr("\"'" + secret)[4:-1], ascii(secret)[1:-1])
    yield b64encode(secret.encode(errors="surrogateescape")).decode().rstrip("=")
