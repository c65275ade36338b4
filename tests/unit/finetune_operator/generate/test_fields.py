"""A structural schema becomes a table that says all that the schema does."""

from finetune_operator.generate.fields import sections, table

SCHEMA = {
    "type": "object",
    "description": "A parcel.",
    "required": ["to"],
    "properties": {
        "to": {"type": "string", "minLength": 1, "maxLength": 9, "description": "Who gets it: `<name>` or a|b <none>."},
        "grams": {"type": "number", "default": 5.0, "minimum": 0, "exclusiveMinimum": True, "maximum": 2000},
        "step": {"type": "integer", "minimum": 0, "maximum": 2**53 - 1},
        "size": {"x-kubernetes-int-or-string": True, "x-kubernetes-validations": [{"rule": "…", "message": "must be a quantity"}]},
        "colours": {"type": "array", "maxItems": 2, "items": {"type": "string", "enum": ["red", "blue"]}},
        "notes": {"type": "object", "maxProperties": 64, "additionalProperties": {"maxLength": 3}},
        "parts": {"type": "array", "description": "What is in it.", "items": {"type": "object", "properties": {"name": {"type": "string"}}}},
    },
    "x-kubernetes-validations": [
        {"rule": "…", "message": "immutable", "fieldPath": ".to"},
        {"rule": "…", "message": "immutable", "fieldPath": ".grams"},
        {"rule": "…", "message": "give grams or size"},
    ],
}  # fmt: skip


def test_an_object_is_a_heading_its_fields_and_its_rules_and_objects_within_follow() -> None:
    parcel, parts = sections(SCHEMA, "spec.parcel")

    assert parcel.splitlines() == [
        "## spec.parcel",
        "",
        "A parcel.",
        "",
        "| field | type | default | limits | description |",
        "| --- | --- | --- | --- | --- |",
        r"| `to` | string | required | 1 to 9 characters | Who gets it: `<name>` or a\|b \<none>. |",
        "| `grams` | number | `5` | above 0 and at most 2,000 |  |",
        "| `step` | integer |  | at least 0 |  |",
        "| `size` | quantity |  | must be a quantity |  |",
        "| `colours` | list of string |  | at most 2 items; each `red`, `blue` |  |",
        "| `notes` | map of any |  | at most 64 entries |  |",
        "| `parts` | list of object |  |  | What is in it. |",
        "",
        "- `to`, `grams`: immutable",
        "- give grams or size",
    ]
    assert parts.splitlines()[:3] == ["## spec.parcel.parts[]", "", "What is in it."]


def test_the_fields_of_a_whole_file_have_no_prefix() -> None:
    headings = [section.splitlines()[0] for section in sections(SCHEMA, "")]

    assert headings == ["## Top level", "## parts[]"]


def test_a_line_break_does_not_end_a_row() -> None:
    assert table(("a", "b"), [("one\ntwo", "three")]) == "| a | b |\n| --- | --- |\n| one two | three |"
