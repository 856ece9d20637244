"""Options in groups: a command takes dataclasses, the command line their fields, and help shows them group by group."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, ClassVar, TypeVar, get_args, get_origin, get_type_hints

from typer.core import TyperCommand

from denoisebench.core.errors import Mistakes, UserError
from denoisebench.core.limits import whole_number

Group = TypeVar("Group", bound="OptionGroup")

# Every command asks for them, most for the same ones.
_OPTIONS: dict[type[OptionGroup], Sequence[inspect.Parameter]] = {}


class OptionGroup:
    """Base of groups of options: dataclasses whose fields are ``Annotated[type, typer.Option(...)]``.

    A field without such an annotation is no option and keeps its default; a subclass makes it one by annotating it.
    """

    #: Title of their section in the help of a command.
    panel: ClassVar[str] = "Options"


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command that takes groups of options the signature from which typer makes its options.

    Parameters
    ----------
    command : callable
        Parameters that are subclasses of `OptionGroup` are replaced by their fields, others stay.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, tuple[type[OptionGroup], Sequence[str]]] = {}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        kind = hints[name]
        if isinstance(kind, type) and issubclass(kind, OptionGroup):
            options = options_of(kind)
            groups[name] = (kind, [option.name for option in options])
            parameters += options
        else:
            parameters.append(parameter.replace(annotation=kind, kind=inspect.Parameter.KEYWORD_ONLY))

    def call(**values: Any) -> None:
        made = {name: kind(**{key: values.pop(key) for key in keys}) for name, (kind, keys) in groups.items()}
        command(**made, **values)

    call.__name__, call.__doc__, call.__module__ = command.__name__, command.__doc__, command.__module__
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    # Types know neither that a function has a signature of its own nor that these classes are dataclasses.
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return call


def options_of(group: type[OptionGroup]) -> Sequence[inspect.Parameter]:
    """The options of a group as parameters of a function."""
    if group not in _OPTIONS:
        _OPTIONS[group] = _parameters_of(group)
    return _OPTIONS[group]


def flag_of(option: inspect.Parameter) -> str:
    """An option as it is written on the command line."""
    declared = get_args(option.annotation)[1].default  # typer has the first of the names there until it makes commands
    return declared if isinstance(declared, str) else f"--{option.name.replace('_', '-')}"


def _parameters_of(group: type[OptionGroup]) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    options = []
    for field in dataclasses.fields(group):  # type: ignore[arg-type]
        hint = hints[field.name]
        if get_origin(hint) is not Annotated:
            continue
        kind, option = get_args(hint)
        option = copy(option)
        option.rich_help_panel = option.rich_help_panel or group.panel
        default = inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default
        options.append(
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=default,
                annotation=Annotated[(kind, option)],
            )
        )
    return options


def group_of(group: type[Group], values: Mapping[str, Any], mistakes: Mistakes) -> Group:
    """A group of options made from values of Python, checked as the command line checks texts.

    Parameters
    ----------
    group : subclass of OptionGroup
        What to make.
    values : mapping
        By option; those of other groups are left alone, options without a value keep their default.
    mistakes : Mistakes
        Notes what is not allowed.
    """
    made = {}
    for option in options_of(group):
        if option.name in values:
            kind, typed = get_args(option.annotation)
            read = mistakes.read(option.default, _value, option.name, values[option.name], kind, typed)
            made[option.name] = read
    return group(**made)


def _value(name: str, value: Any, kind: Any, option: Any) -> Any:
    """A value of the type that an option has."""
    shown = f"--{name.replace('_', '-')}"
    kinds = [part for part in get_args(kind) if part is not type(None)] if isinstance(kind, UnionType) else [kind]
    if value is None and kinds != [kind]:
        return None
    (wanted,) = kinds
    if wanted is int:
        most = sys.maxsize if option.max is None else int(option.max)
        return whole_number(shown, str(value), int(option.min or 0), most)
    parts = value if isinstance(value, list | tuple) else [value]
    if (wanted is Path or get_origin(wanted) is list) and "" in parts:
        raise UserError(f"{shown} is empty; name a file or a folder, or '.' for the current folder.")
    try:
        if get_origin(wanted) is list:
            return [Path(part) for part in ([value] if isinstance(value, str | Path) else value)]
        if wanted in (Path, float):
            return wanted(value)
        if isinstance(value, bool | bytes | Mapping):
            raise TypeError
        return ",".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)
    except (TypeError, ValueError):
        known = {float: "a number", Path: "the path of a file or folder", list: "a path, or a list of paths"}
        allowed = known.get(get_origin(wanted) or wanted, "a text or number")
        raise UserError(f"{shown} {value!r} cannot be used; give {allowed}, as on the command line.") from None


class GroupedCommand(TyperCommand):
    """A command whose help has a section for each group, and which names every wrong option, not only the first."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options, group by group."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                argument = parameter.param_type_name == "argument"
                title = getattr(parameter, "rich_help_panel", None) or ("Arguments" if argument else "Options")
                sections.setdefault(title, []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; the error for a wrong one carries the others as notes."""
        given = list(args)
        try:
            rest = super().parse_args(ctx, args)
            self._refuse_empty_paths(ctx, given)
            return rest
        except Exception as error:
            show = getattr(error, "format_message", None)
            if show is None:
                raise
            for text in self._mistakes(ctx, given):
                if not show().startswith(text):
                    error.add_note(text)
            raise

    def _refuse_empty_paths(self, ctx: Any, args: list[str]) -> None:
        """Path("") is the current folder, which nobody means who gives a shell variable that is not set."""
        values, _, _ = self.make_parser(ctx).parse_args(args=args)
        for parameter in self.get_params(ctx):
            given, read = (
                value if isinstance(value, list | tuple) else [value]
                for value in (values.get(parameter.name), ctx.params.get(parameter.name))
            )
            if "" in given and any(isinstance(value, Path) for value in read):
                name = parameter.opts[0] if parameter.opts[0].startswith("-") else f"The argument {parameter.name!r}"
                raise UserError(f"{name} is empty; name a file or a folder, or '.' for the current folder.")

    def _mistakes(self, ctx: Any, args: Sequence[str]) -> list[str]:
        """What is wrong with each of the arguments: options that do not exist, and values that cannot be read."""
        known = {name: option for option in self.get_params(ctx) for name in option.opts}
        found, kept, tokens = [], [], iter(args)
        for token in tokens:
            name, equals, _ = token.partition("=")
            if token == "--":
                kept += [token, *tokens]
            elif not token.startswith("--") or name in known:
                kept.append(token)
                if name in known and not equals and not getattr(known[name], "is_flag", False):
                    kept += [value for value in [next(tokens, None)] if value is not None]
            else:
                found.append(f"No such option: {name}")
        read = self.make_parser(ctx).parse_args
        try:
            values, rest, _ = read(args=kept)
        except Exception as error:
            return [*found, *_message_of(error)]
        # The experiment file, if there is one, comes first: it has the defaults of the others.
        for parameter in sorted(self.get_params(ctx), key=lambda parameter: not parameter.is_eager):
            try:
                _, rest = parameter.handle_parse_result(ctx, values, rest)
            except Exception as error:
                found += _message_of(error)
        return found


def _message_of(error: Exception) -> list[str]:
    """The message of a mistake on the command line; any other error is raised again."""
    show = getattr(error, "format_message", None)
    if show is None:
        raise error
    return [str(show())]
