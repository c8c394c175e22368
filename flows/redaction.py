"""Keep secrets out of the lines that flows print, log and store."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote, quote_plus

ENDPOINT = "AWS_ENDPOINT_URL"
HIDDEN = "***"
MIN_LENGTH = 8  # the key of a test server may be a word, or a letter
# HF_TOKEN, WANDB_API_KEY, AWS_ACCESS_KEY_ID, PREFECT_SERVER_DATABASE_CONNECTION_URL ...; but not the name of
# a file that holds one.
_SECRET_NAME = re.compile(
    r"(?:^|_)(?:TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|AUTH_STRING|API_?KEY|ACCESS_KEY|"
    r"SECRET_KEY|PRIVATE_KEY|CONNECTION_URL)(?=_|$)(?!.*_(?:FILE|PATH|DIR)$)"
)
_USER_INFO = re.compile(r"(?<=://)[^/\s'\"]*@")
_AWS_KEY_ID = re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")
_ESCAPE = re.compile(r"%[0-9A-F]{2}")


def hide_secrets(text: str, environment: Mapping[str, str] | None = None) -> str:
    """Return ``text`` without the user names and passwords of addresses and the environment's secrets.

    Libraries put the whole address of an endpoint into their errors, and a secret into an address.
    """
    environment = os.environ if environment is None else environment
    secrets = {value for name, value in environment.items() if _SECRET_NAME.search(name)}
    # The longest first: one may be the begin of another.
    for secret in sorted((each for each in secrets if len(each) >= MIN_LENGTH), key=len, reverse=True):
        for form in _written(secret):
            text = text.replace(form, HIDDEN)
    user_info = environment.get(ENDPOINT, "").rpartition("@")[0].rpartition("//")[2]
    if user_info:  # errors repeat a wrong address as it is, without what _USER_INFO knows it by
        text = text.replace(user_info, HIDDEN)
    return _AWS_KEY_ID.sub(HIDDEN, _USER_INFO.sub(f"{HIDDEN}@", text))


def _written(secret: str) -> Iterator[str]:
    """Yield a secret as it is, and as paths and queries of addresses have it, with escapes of either case."""
    yield secret
    for encoded in (quote(secret), quote(secret, safe=""), quote_plus(secret)):
        yield encoded
        yield _ESCAPE.sub(lambda escape: escape[0].lower(), encoded)
