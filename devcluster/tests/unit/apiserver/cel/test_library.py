"""Functions that Kubernetes adds to CEL."""

import pytest
from cel_expr_python import cel

from devcluster.apiserver.cel.library import environment

_ASKED = (
    "authorizer.group('a.b').resource('things').subresource('s').namespace('n').name('x').check('update').allowed()"
)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("'a1 b22'.find('[0-9]+')", "1"),
        ("'abc'.find('[0-9]+')", ""),
        ("'a1 b22'.findAll('[0-9]+').join(',')", "1,22"),
        (r"size('a\\x<b'.findAll(r'[<>&]|\\[abfvx]'))", 2),
        ("size('abc'.findAll('[0-9]+'))", 0),
        (_ASKED, True),
    ],
)
def test_texts_are_searched_and_everybody_may_do_everything(expression: str, value: object) -> None:
    program = environment({"authorizer": cel.Type.DYN}).compile(expression)

    assert program.eval(data={"authorizer": ""}).value() == value
