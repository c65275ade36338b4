"""The functions that Kubernetes adds to CEL, implemented for cel-expr-python.

Quantities are doubles here: exact to 15 digits, more than manifests use.
"""

import re
from collections.abc import Callable
from typing import Any

from cel_expr_python import cel
from cel_expr_python.ext import ext_bindings, ext_math, ext_optional, ext_strings
from google.protobuf import descriptor_pool

_SUFFIXES = {
    "": 1.0,
    "n": 1e-9,
    "u": 1e-6,
    "m": 1e-3,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "P": 1e15,
    "E": 1e18,
    **{f"{letter}i": 1024.0**power for power, letter in enumerate("KMGTPE", start=1)},
}
_QUANTITY = re.compile(r"^([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|([numkMGTPE]|[KMGTPE]i)?)$")

_T = cel.Type


def parse_quantity(text: str) -> float | None:
    """Return the value of a resource quantity such as `16Gi` or `250m`; None if the text is not a quantity."""
    match = _QUANTITY.match(text)
    if not match:
        return None
    number, exponent, suffix = match.groups()
    return float(number + (exponent or "")) * _SUFFIXES[suffix or ""]


def environment(variables: dict[str, cel.Type], pool: descriptor_pool.DescriptorPool | None = None) -> cel.Env:
    """Return a CEL environment with these variables, the standard library and Kubernetes' functions.

    `pool` defines the message types of the variables.
    """
    extensions = [ext_bindings.ExtBindings(), ext_strings.ExtStrings(), ext_optional.ExtOptional(), ext_math.ExtMath()]
    return cel.NewEnv(pool, variables=variables, extensions=extensions, functions=_functions())


def _functions() -> list[cel.FunctionDecl]:
    text, boolean, integer, double = _T.STRING, _T.BOOL, _T.INT, _T.DOUBLE
    return [
        _function("isQuantity", [(False, [text], boolean, lambda value: parse_quantity(value) is not None)]),
        _function("quantity", [(False, [text], double, _quantity)]),
        _function("isGreaterThan", [(True, [double, double], boolean, lambda a, b: a > b)]),
        _function("isLessThan", [(True, [double, double], boolean, lambda a, b: a < b)]),
        _function("compareTo", [(True, [double, double], integer, lambda a, b: (a > b) - (a < b))]),
        _function("isInteger", [(True, [double], boolean, lambda value: value.is_integer())]),
        _function("asInteger", [(True, [double], integer, int)]),
        _function("asApproximateFloat", [(True, [double], double, float)]),
        _function("sign", [(True, [double], integer, lambda value: (value > 0) - (value < 0))]),
        _function("find", [(True, [text, text], text, lambda value, regex: next(iter(_matches(value, regex)), ""))]),
        _function("findAll", [(True, [text, text], _T.List(text), _matches)]),
        *_authorizer(),
        _function("sum", [(True, [_T.List(_T.DYN)], _T.DYN, lambda items: sum(_plain(items)))]),
    ]


def _function(
    name: str, overloads: list[tuple[bool, list[cel.Type], cel.Type, Callable[..., Any]]]
) -> cel.FunctionDecl:
    declared = [
        cel.Overload(
            id=f"kubernetes_{name}_{index}", return_type=result, parameters=parameters, is_member=member, impl=impl
        )
        for index, (member, parameters, result, impl) in enumerate(overloads)
    ]
    return cel.FunctionDecl(name, declared)


def _authorizer() -> list[cel.FunctionDecl]:
    """What policies ask of `authorizer`. Everybody may do everything here."""
    text = _T.STRING
    steps = ("group", "resource", "subresource", "namespace", "name", "check")
    return [
        *(_function(step, [(True, [text, text], text, lambda asked, more: f"{asked}/{more}")]) for step in steps),
        _function("allowed", [(True, [text], _T.BOOL, lambda _: True)]),
    ]


def _matches(value: str, regex: str) -> list[str]:
    """What matches in a text. Python's syntax has all of RE2's that expressions here use."""
    return [match[0] for match in re.finditer(regex, value)]


def _plain(items: Any) -> list[Any]:
    return [item.plain_value() if hasattr(item, "plain_value") else item for item in items]


def _quantity(value: str) -> float:
    parsed = parse_quantity(value)
    if parsed is None:
        raise ValueError("quantities must match the regular expression of resource quantities")
    return parsed
