"""Keep secrets out of the lines that flows print, log and store."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

ENDPOINT = "AWS_ENDPOINT_URL"
SECRETS = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "OFT_WEBHOOK_SECRET",
    "PREFECT_API_AUTH_STRING",
    "PREFECT_API_KEY",
    "PREFECT_SERVER_API_AUTH_STRING",
    "PREFECT_SERVER_DATABASE_CONNECTION_URL",
    "PREFECT_SERVER_DATABASE_PASSWORD",
)
HIDDEN = "***"
MIN_LENGTH = 8  # the key of a test server may be a word, or a letter
_USER_INFO = re.compile(r"(?<=://)[^/\s'\"]*@")


def hide_secrets(text: str, environment: Mapping[str, str] | None = None) -> str:
    """Return ``text`` without the user names and passwords of addresses and the environment's secrets.

    Libraries put the whole address of an endpoint into their errors.
    """
    environment = os.environ if environment is None else environment
    for name in SECRETS:
        if len(value := environment.get(name, "")) >= MIN_LENGTH:
            text = text.replace(value, HIDDEN)
    user_info = environment.get(ENDPOINT, "").rpartition("@")[0].rpartition("//")[2]
    if user_info:  # errors repeat a wrong address as it is, without what _USER_INFO knows it by
        text = text.replace(user_info, HIDDEN)
    return _USER_INFO.sub(f"{HIDDEN}@", text)
