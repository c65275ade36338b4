"""What a file is written in shows in the signs that part its rows and fields, whatever the script of its texts."""

import pytest

from finetune_api.encodings import HEAD, encoding_of

WIDE = ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]
TABLES = [
    "text,label\na,x\n",
    "текст,метка\nдобрый день,да\n",
    "文本,标签\r\n世界上的一切都是一样的,好\r\n",
    "文本\n一\n",
    "上传;一\n上;一\n",
    "世紀\t紀元\n二十世紀の紀行\t一\n",
    '{"text": "' + "Съешь ещё этих мягких французских булок. " * 200 + '", "label": "да"}\n',
    "text,label\n" + "一丁七万丈三上下不与丐丑专且丕世丘丙业丛东丝丞丢两严丧" * 200 + ",x\n",
    "\n\r\n\nтекст,метка\nда,нет\n",
    "النص,التصنيف\nصباح الخير,نعم\n",
]


@pytest.mark.parametrize("encoding", WIDE)
@pytest.mark.parametrize("table", TABLES)
def test_wide_text_without_a_byte_order_mark_is_known_in_every_script(table: str, encoding: str) -> None:
    assert encoding_of(table.encode(encoding)[:HEAD]) == encoding


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("cut", range(3))
def test_text_in_utf_8_is_that_wherever_its_head_is_cut(table: str, cut: int) -> None:
    assert encoding_of(table.encode()[: HEAD - cut]) == "utf-8"


@pytest.mark.parametrize(
    ("encoding", "found"), [("utf-8-sig", "utf-8-sig"), ("utf-16", "utf-16"), ("utf-32", "utf-32")]
)
@pytest.mark.parametrize("table", TABLES)
def test_a_byte_order_mark_is_believed(table: str, encoding: str, found: str) -> None:
    assert encoding_of(table.encode(encoding)[:HEAD]) == found


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\n",
        "café,label\n".encode("latin-1"),
        "текст,метка\nда,нет\n".encode("cp1251"),
        "文本,标签\n好,一\n".encode("gb18030"),
        b"text,label\n\0a,x\nb\0,y\n",  # zeros among the rows of a file whose header has none
        bytes(range(1, 10)),
    ],
)
def test_what_has_no_wide_signs_is_left_to_be_read_as_utf_8(head: bytes) -> None:
    assert encoding_of(head) == "utf-8"
