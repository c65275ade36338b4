"""values.yaml becomes a list of values, each with the comment above it."""

from finetune_operator.generate.chart_values import Value, chart_values


def test_a_value_has_its_path_its_default_and_its_comment_else_that_of_its_section() -> None:
    text = """\
# All of it.

# Where the image is.
image:
  repository: operator
  # Its tag;
  # the version if empty.
  tag: ""
labels: {}
# More of it.
extra: [{name: A, value: "1"}]
"""

    assert chart_values(text) == [
        Value("image.repository", "operator", "Where the image is."),
        Value("image.tag", "", "Its tag; the version if empty."),
        Value("labels", {}, ""),
        Value("extra", [{"name": "A", "value": "1"}], "More of it."),
    ]
