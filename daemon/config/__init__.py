"""The configuration: its tables, and how it is read, checked and written."""

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from daemon.config.contradictions import contradictions
from daemon.config.sections import Sections


class Config(Sections):
    """The whole configuration; its keys do not contradict each other."""

    @model_validator(mode="after")
    def _agrees(self) -> "Config":
        found = list(contradictions(self))
        if found:
            raise PydanticCustomError("contradiction", "contradicts itself", {"found": found})
        return self
