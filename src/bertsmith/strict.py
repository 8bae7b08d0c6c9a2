"""Settings that refuse what they do not know: pydantic models whose mistakes are told in one line, as SettingsError."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from bertsmith.errors import SettingsError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)  # pydantic gives it no public name


class _Told(ModelMetaclass):
    """Makes ``Settings(epochs=-1)`` raise SettingsError; validating from JSON keeps pydantic's own errors."""

    def __call__(self, *arguments: Any, **values: Any) -> Any:
        try:
            return super().__call__(*arguments, **values)
        except ValidationError as error:
            raise told(error, self) from None  # type: ignore[arg-type]


class Strict(BaseModel, metaclass=_Told):
    """A frozen model without surprises: an unknown name, or a value of another type, is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, protected_namespaces=())

    @classmethod
    def hint(cls, name: str) -> str:
        """What to say of an unknown name: the nearest known one."""
        return nearest(name, cls.model_fields)


StrictT = TypeVar("StrictT", bound=Strict)


def checked(model: type[StrictT], values: Mapping[str, Any], *, at: str = "") -> StrictT:
    """The model with these values. Raises SettingsError for the first wrong one: its name, what is allowed, what is."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise told(error, model, at=at) from None


def told(error: ValidationError, model: type[Strict], *, at: str = "") -> SettingsError:
    """The first of pydantic's errors in one line."""
    errors = error.errors()
    first = errors[0]
    name = ".".join(str(part) for part in first["loc"][:1])
    if first["type"] == "missing":
        return SettingsError(f"{at}'{name}' is missing")
    if first["type"] == "extra_forbidden":
        return SettingsError(f"{at}unknown setting {name!r}{model.hint(name)}")
    # where a setting may be of several kinds, what each of them allows
    allowed = dict.fromkeys(_allowed(each) for each in errors if each["loc"][:1] == first["loc"][:1])
    return SettingsError(f"{at}{name} must be {' or '.join(allowed)}, got {first['input']!r}")


def _allowed(error: Mapping[str, Any]) -> str:
    """What may stand after "must be", from one of pydantic's errors."""
    if error["type"] == "path_type":
        return "a valid path"
    if error["type"] == "string_too_short":
        return f"at least {error['ctx']['min_length']} character long"
    return str(error["msg"]).removeprefix("Value error, ").removeprefix("Input should be ").removeprefix("must be ")
