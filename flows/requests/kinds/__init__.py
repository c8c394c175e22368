"""Kinds of trainings, each in its file: its parameters, its rules, its settings and its pictures."""

from typing import Annotated, TypeAlias

from pydantic import Field

from flows.requests.kinds.common import CommonRequest
from flows.requests.kinds.control import ControlRequest
from flows.requests.kinds.style import StyleRequest
from flows.requests.kinds.subject import SubjectRequest

TrainingRequest: TypeAlias = Annotated[
    SubjectRequest | StyleRequest | ControlRequest, Field(discriminator="kind")
]

KINDS: dict[str, type[SubjectRequest] | type[StyleRequest] | type[ControlRequest]] = {
    kind.kind_name(): kind for kind in (SubjectRequest, StyleRequest, ControlRequest)
}
"""By what ``kind`` says; a request without it is the first."""

__all__ = [
    "KINDS",
    "CommonRequest",
    "ControlRequest",
    "StyleRequest",
    "SubjectRequest",
    "TrainingRequest",
]
