"""What parts the fields of a csv file is read from its header, of which quoted names may hold any sign."""

import pytest

from finetune_api.separators import separator_of


@pytest.mark.parametrize(
    ("header", "usual", "sign"),
    [
        ("text,label;x\n", ",", ","),
        ("text;label\n", ",", ";"),
        ("text;label\tx\n", "\t", "\t"),
        ("text,label\n", "\t", "\t"),
        ("text|label\r\n", "\t", "|"),
        ("text\n", ",", ","),
        ("", ",", ","),
        ('"text, whole";"label"\n', ",", ";"),
        ('"text ""a, b""";label\n', ",", ";"),
        ('"text; more"\n', ",", ","),
        ('"a;b","c;d"\n', ",", ","),
        ('6" pipe;7" pipe\n', ",", ";"),
    ],
)
def test_the_sign_that_parts_the_names_parts_the_fields(header: str, usual: str, sign: str) -> None:
    assert separator_of(header, usual) == sign
