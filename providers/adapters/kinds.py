"""Metadata of provider kinds, from which their forms, checks and initial models are made. No other code names a
kind."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

Requirement = Literal["none", "optional", "required"]


@dataclass(frozen=True)
class CatalogueModel:
    """Initial values of a SpeechModel. `prices`: by the first day on which they apply, US dollars by `Price.Unit`."""

    name: str
    fields: Mapping[str, Any]
    prices: Mapping[date, Mapping[str, str]] = field(default_factory=dict)


def nothing_wrong(upstream_name: str, options: dict[str, Any]) -> str:
    """For kinds that take any model with any options."""
    return ""


@dataclass(frozen=True)
class KindInfo:
    label: str  # in the list of kinds
    help: str = ""  # a sentence: its purpose and requirements
    address: Requirement = "optional"
    default_address: str = ""  # used if a provider has none; the placeholder of the field
    credential: Requirement = "required"
    credential_help: str = ""  # where to get a key
    key_setting: str = (
        ""  # name of the setting with the site's key; if set, every workspace gets a provider that uses it
    )
    default_prompt: str = ""  # prompt of a transcription if the run has none
    catalogue: tuple[CatalogueModel, ...] = ()  # initial models of a new provider
    problem_with_model: Callable[[str, dict[str, Any]], str] = nothing_wrong
    """Returns what is wrong with a model's upstream name and options, for people; empty if nothing is."""

    @property
    def embedded(self) -> bool:
        """Whether it runs on this machine. It has neither address nor credential then, and every workspace has one."""
        return self.address == self.credential == "none"


def a_million_tokens(read: str, written: str) -> dict[str, str]:
    """US dollars for input and output tokens, as `CatalogueModel.prices` wants them."""
    return {"input_tokens": read, "output_tokens": written}
