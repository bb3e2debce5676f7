from __future__ import annotations

import json
from collections.abc import Callable
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.errors import SourceError
from rag.load.decode import clean, decode
from rag.load.parsers.data import _lines
from rag.types import Document

Parse = Callable[[bytes, str], Document]


def parts(document: Document, kind: str) -> list[str]:
    return [document.text[part.start : part.end] for part in document.layout.parts if part.kind == kind]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_text_is_decoded_whatever_its_encoding(encoding: str) -> None:
    text = "Die Tür öffnet um 9 Uhr; an Feiertagen bleibt sie geschlossen.\r\n"
    assert decode(text.encode(encoding)) == text


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1251", "Привет, это обычный русский текст для проверки кодировки. Ещё одно предложение."),
        ("shift_jis", "こんにちは世界。これは日本語のテキストです。"),
    ],
)
def test_other_alphabets_are_guessed(encoding: str, text: str) -> None:
    assert decode(text.encode(encoding)) == text


def test_a_declared_charset_counts_only_where_the_bytes_are_not_utf8() -> None:
    assert decode("Łódź".encode("cp1250"), "cp1250") == "Łódź"
    assert decode("Łódź".encode(), "cp1250") == "Łódź"


def test_nul_bytes_in_text_become_spaces_and_the_rest_is_kept(parse: Parse) -> None:
    document = parse(b"first line\0\0 with NUL\nsecond\n", "a.txt")
    assert document.text == "first line   with NUL\nsecond\n"
    assert str(document.locate(23, 29)) == "line 2"


@given(st.binary(max_size=300))
def test_decoding_never_fails_and_leaves_no_surrogate_or_control_character(data: bytes) -> None:
    text = decode(data)
    assert not any("\ud800" <= letter <= "\udfff" or (letter < " " and letter not in "\t\n\r\f") for letter in text)


@given(st.text())
def test_cleaning_moves_no_offset(text: str) -> None:
    assert len(clean(text)) == len(text)


def test_crlf_stays_in_plain_text(parse: Parse) -> None:
    assert parse(b"one\r\ntwo\r\n", "a.txt").text == "one\r\ntwo\r\n"


def test_lines_that_end_in_bare_carriage_returns_are_counted(parse: Parse) -> None:
    document = parse(b"one\rtwo\rthree\r", "a.txt")
    assert document.text == "one\ntwo\nthree\n"
    assert document.locate(4, 7).lines == (2, 2)
    assert decode(b"one\ra progress bar\ntwo") == "one\ra progress bar\ntwo"


def test_source_code_is_kept_and_its_lines_counted(parse: Parse) -> None:
    document = parse(b"def f():\n    return 1\n", "f.py")
    assert document.text == "def f():\n    return 1\n"
    assert str(document.locate(9, 20)) == "line 2"


def test_an_empty_file_is_an_error_that_says_so(parse: Parse) -> None:
    with pytest.raises(SourceError, match=r"a\.txt: empty file"):
        parse(b"", "a.txt")


def test_white_space_alone_is_no_document(parse: Parse) -> None:
    with pytest.raises(SourceError, match="no text"):
        parse(b" \n\n", "a.txt")


def test_a_binary_file_with_a_text_suffix_is_refused(parse: Parse) -> None:
    with pytest.raises(SourceError, match="binary"):
        parse(bytes(range(256)) * 4, "a.txt")


def test_markdown_headings_code_and_tables_are_marked_at_their_lines(parse: Parse) -> None:
    text = (
        "---\r\ntitle: The Handbook\r\n---\r\n# One *word*\r\n\r\nText.\r\n\r\nTwo\r\n---\r\n\r\n"
        "```python\r\n# no heading\r\n```\r\n\r\n| a | b |\r\n|---|---|\r\n| 1 | 2 |\r\n"
    )
    document = parse(text.encode(), "a.md")
    assert document.text == text
    assert [(p.name, p.level) for p in document.layout.parts if p.kind == "heading"] == [("One word", 1), ("Two", 2)]
    assert parts(document, "heading") == ["# One *word*", "Two\r\n---"]
    assert parts(document, "code") == ["```python\r\n# no heading\r\n```"]
    assert parts(document, "table") == ["| a | b |\r\n|---|---|\r\n| 1 | 2 |"]
    assert document.meta["title"] == "The Handbook"


def test_rows_of_a_csv_carry_their_column_names_and_keep_their_lines(parse: Parse) -> None:
    document = parse(b'Name;Note;Born\nAda;"two\nlines";1815\nAlan;;1912;extra\n', "a.csv")
    assert (
        document.text == "Name | Note | Born\nName: Ada; Note: two\nlines; Born: 1815\nName: Alan; Born: 1912; extra\n"
    )
    start = document.text.index("Name: Alan")
    assert str(document.locate(start, start + 4)) == "line 4"


def test_a_csv_without_header_is_read_without_names(parse: Parse) -> None:
    assert parse(b"1,2,3\n4,5,6\n", "a.csv").text == "1 | 2 | 3\n4 | 5 | 6\n"


def test_json_is_kept_with_its_first_keys_as_headings(parse: Parse) -> None:
    text = '{\n  "host": "example",\n  "limits": {\n    "depth": 3\n  }\n}\n'
    document = parse(text.encode(), "a.json")
    assert document.text == text
    assert [part.name for part in document.layout.parts] == ["host", "limits"]


def test_json_on_one_long_line_or_in_escapes_becomes_readable(parse: Parse) -> None:
    document = parse(json.dumps({"name": "Łódź", "more": ["x" * 100] * 30}).encode(), "a.json")
    assert document.text.startswith('{\n "name": "Łódź",\n "more": [\n')
    assert not document.layout.lines


def test_records_of_json_on_one_line_stand_on_a_line_each(parse: Parse) -> None:
    records = [{"id": number, "words": ["dogs", "bark"]} for number in range(100)]
    data = json.dumps({"rows": records})
    text = parse(data.encode(), "a.json").text
    assert text.splitlines()[:3] == ["{", ' "rows": [', '  {"id": 0, "words": ["dogs", "bark"]},']
    assert json.loads(text) == json.loads(data)


@given(
    st.recursive(st.none() | st.integers() | st.text(), lambda each: st.lists(each) | st.dictionaries(st.text(), each))
)
def test_laying_json_out_again_changes_no_value(value: object) -> None:
    assert json.loads("\n".join(_lines(value, longest=20))) == value


def test_json_that_is_cut_off_is_plain_text(parse: Parse) -> None:
    assert parse(b'{"name": "Jo', "a.json").text == '{"name": "Jo'


def test_yaml_and_toml_keys_are_headings(parse: Parse) -> None:
    yaml = parse(b"server:\n  port: 80\nclient: none\n", "a.yaml")
    assert [part.name for part in yaml.layout.parts] == ["server", "client"]
    toml = parse(b"[tool.ruff]\nline = 1\n", "a.toml")
    assert [part.name for part in toml.layout.parts] == ["tool.ruff"]


def notebook(*cells: dict[str, object]) -> bytes:
    return json.dumps({"cells": cells}).encode()


def test_a_notebook_gives_text_code_and_what_the_code_printed(parse: Parse) -> None:
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": ["epoch 1\n", "epoch 2\n"]},
        {"output_type": "execute_result", "data": {"text/plain": ["0.93"], "text/html": "<b>0.93</b>"}},
        {"output_type": "error", "ename": "KeyError", "evalue": "'age'", "traceback": ["..."]},
    ]
    cells = (
        {"cell_type": "markdown", "source": ["# Title\n", "Words."]},
        {"cell_type": "code", "source": "x = 1", "outputs": outputs},
    )
    document = parse(notebook(*cells), "a.ipynb")
    assert document.text == "# Title\nWords.\n\nx = 1\n\nOutput:\nepoch 1\nepoch 2\n0.93\nKeyError: 'age'"
    assert parts(document, "heading") == ["# Title"]
    assert parts(document, "code") == ["x = 1"]


def test_pictures_widgets_colours_and_passed_states_of_a_notebook_are_left_out(parse: Parse) -> None:
    figure = {"image/png": "AAAA", "text/plain": "<Figure size 640x480 with 1 Axes>"}
    bar = {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "HBox(children=())"}
    outputs = [
        {"output_type": "display_data", "data": figure},
        {"output_type": "display_data", "data": bar},
        {"output_type": "stream", "name": "stderr", "text": "\r 10%|#  \r100%|###\n\u001b[31mslow\u001b[0m\r\n"},
    ]
    document = parse(notebook({"cell_type": "code", "source": "plot()", "outputs": outputs}), "a.ipynb")
    assert document.text == "plot()\n\nOutput:\n100%|###\nslow"


def test_long_outputs_of_a_notebook_keep_their_beginning_and_their_end(parse: Parse) -> None:
    lines = "".join(f"step {number:06}\n" for number in range(10_000))
    outputs = [{"output_type": "stream", "name": "stdout", "text": lines}]
    text = parse(notebook({"cell_type": "code", "source": "train()", "outputs": outputs}), "a.ipynb").text
    assert len(text) < 8100
    assert "step 000000" in text
    assert "[... 111,999 characters of output ...]" in text
    assert text.endswith("step 009999")


@pytest.mark.parametrize("outputs", ["none", [3], [{"output_type": "stream", "text": [3]}]])
def test_a_notebook_with_wrong_outputs_is_read_or_an_error_that_says_so(parse: Parse, outputs: object) -> None:
    data = notebook({"cell_type": "code", "source": "x = 1", "outputs": outputs})
    if outputs == "none":
        assert parse(data, "a.ipynb").text == "x = 1"
        return
    with pytest.raises(SourceError, match="the notebook is damaged"):
        parse(data, "a.ipynb")


def test_an_email_gives_headers_plain_text_and_names_of_attachments(parse: Parse) -> None:
    message = (
        b"From: Ada <ada@example.org>\r\nTo: Alan <alan@example.org>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
        b'Date: Fri, 16 Dec 2022 17:04:16 -0500\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
        b'--b\r\nContent-Type: multipart/alternative; boundary="c"\r\n\r\n'
        b"--c\r\nContent-Type: text/plain\r\n\r\nPlain words.\r\n"
        b"--c\r\nContent-Type: text/html\r\n\r\n<p>Rich words.</p>\r\n--c--\r\n"
        b"--b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=plan.pdf\r\n\r\nx\r\n"
        b"--b--\r\n"
    )
    document = parse(message, "a.eml")
    assert document.text == (
        "From: Ada <ada@example.org>\nTo: Alan <alan@example.org>\nDate: Fri, 16 Dec 2022 17:04:16 -0500\n"
        "Subject: Grüße\n\nPlain words.\n\nAttachments: plan.pdf"
    )
    assert document.meta["title"] == "Grüße"
    assert document.meta["created"] == "2022-12-16T17:04:16-05:00"


def letter(subject: str, text: str) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["Subject"] = "ada@example.org", subject
    message.set_content(text)
    return message


def test_what_is_attached_to_an_email_is_read_below_its_name(parse: Parse) -> None:
    inner = letter("The plan", "Meet at noon.")
    inner.add_attachment(b"a,b\n1,2\n", maintype="application", subtype="octet-stream", filename="rows.csv")
    outer = letter("Fwd", "See below.")
    outer.add_attachment(b"# Brakes\n\nTest at 110 %.\n", maintype="text", subtype="plain", filename="list.md")
    outer.add_attachment(b"\x89PNG\r\n\x1a\n", maintype="image", subtype="png", filename="logo.png")
    outer.add_attachment(inner)
    document = parse(outer.as_bytes(), "a.eml")
    assert document.text == (
        "From: ada@example.org\nSubject: Fwd\n\nSee below.\n\nAttachments: list.md, logo.png, The plan\n\n"
        "list.md\n\n# Brakes\n\nTest at 110 %.\n\n"
        "The plan\n\nFrom: ada@example.org\nSubject: The plan\n\nMeet at noon.\n\nAttachments: rows.csv\n\n"
        "rows.csv\n\na | b\na: 1; b: 2\n"
    )
    assert parts(document, "heading") == ["list.md", "# Brakes", "The plan", "rows.csv"]
    at = document.text.index("Test at")
    assert document.locate(at, at + 4).headings == ("list.md", "Brakes")
    assert document.meta["attachments_unread"] == 1


def test_an_email_with_headers_of_no_standard_is_read(parse: Parse) -> None:
    headers = b"From: a:b:;@\nDate: Tue, 03 Feb 99999999999999999999 09:14:00 +0100\nSubject: Hello\n"
    document = parse(headers + b"\nThe words.\n", "a.eml")
    assert document.text.endswith("09:14:00 +0100\nSubject: Hello\n\nThe words.")
    assert "created" not in document.meta


def test_a_message_that_is_nothing_but_a_file_is_read(parse: Parse) -> None:
    message = (
        b"Subject: Scan\nContent-Type: application/octet-stream\nContent-Disposition: attachment; filename=a.csv\n"
    )
    assert parse(message + b"\na,b\n1,2\n", "a.eml").text.endswith("Attachments: a.csv\n\na.csv\n\na | b\na: 1; b: 2\n")


def test_messages_attached_to_each_other_are_read_to_a_depth(parse: Parse) -> None:
    message = letter("0", "Depth 0.")
    for depth in range(1, 9):
        outer = letter(str(depth), f"Depth {depth}.")
        outer.add_attachment(message)
        message = outer
    text = parse(message.as_bytes(), "a.eml").text
    assert [f"Depth {depth}." in text for depth in range(9)] == [False] * 3 + [True] * 6


@pytest.mark.parametrize("name", ["old.mbox", "Inbox"])
def test_each_message_of_a_mailbox_is_below_its_subject(parse: Parse, name: str) -> None:
    border = b"From ada@example.org Tue Feb  3 09:14:00 2026\n"
    first = letter("One", ">From here it is far.").as_bytes()
    document = parse(border + first + b"\n" + border + letter("Two", "Words.").as_bytes(), name)
    header = "From: ada@example.org\nSubject: "
    assert document.text == f"One\n\n{header}One\n\nFrom here it is far.\n\nTwo\n\n{header}Two\n\nWords."
    assert parts(document, "heading") == ["One", "Two"]
    assert document.meta["messages"] == 2


def test_a_text_that_begins_with_from_is_no_mailbox(parse: Parse) -> None:
    assert parse(b"From here to there it is far.\nFrom: nobody\n", "notes").text.startswith("From here to there")


def test_rtf_gives_its_text(parse: Parse) -> None:
    rtf = rb"{\rtf1\ansi\ansicpg1252{\info{\title Notes}}{\b Bold} words\par caf\'e9\par}"
    document = parse(rtf, "a.rtf")
    assert document.text.split() == ["Bold", "words", "café"]
    assert document.meta["title"] == "Notes"
