"""What a provider kind says of itself. Its form, its checks and its first models come from here: nothing else in the
house names a kind."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

Wanted = Literal["none", "optional", "required"]


@dataclass(frozen=True)
class CatalogueModel:
    """Fields of a SpeechModel, with its prices: from a day on, US dollars by `Price.Unit`. Staff may edit all of it."""

    name: str
    fields: Mapping[str, Any]
    prices: Mapping[date, Mapping[str, str]] = field(default_factory=dict)


def nothing_wrong(upstream_name: str, options: dict[str, Any]) -> str:
    """For kinds that take any model with any options."""
    return ""


@dataclass(frozen=True)
class KindInfo:
    label: str  # as it stands in the list of kinds
    help: str = ""  # a sentence: what it is for, and what is needed
    address: Wanted = "optional"
    default_address: str = ""  # called where a provider has none; shown in the empty field
    credential: Wanted = "required"
    credential_help: str = ""  # where a key comes from
    key_setting: str = ""  # the site's setting with a key of its own: every workspace then has a provider that uses it
    default_prompt: str = ""  # what models are told beside the audio where nobody says otherwise
    catalogue: tuple[CatalogueModel, ...] = ()  # models that a new provider starts with
    problem_with_model: Callable[[str, dict[str, Any]], str] = nothing_wrong
    """What is wrong with a model's upstream name and options, for a person; empty where nothing is."""

    @property
    def embedded(self) -> bool:
        """It runs on this machine: it has neither address nor credential, and every workspace has one."""
        return self.address == self.credential == "none"


def a_million_tokens(read: str, written: str) -> dict[str, str]:
    """US dollars for input and output tokens, as `CatalogueModel.prices` wants them."""
    return {"input_tokens": read, "output_tokens": written}
