"""What the exported folders have in common: an earlier export is known, and the tokenizer needs no other program."""

import pytest
from exported_models import TWO, bert_classifier
from tokenizers import Tokenizer

from serving.export.folders import is_export, portable_tokenizer
from text.tokens.tokenizer import tokenizer_from_json

NAMES, MARK = {"README.md", "model.bin"}, r"(?:#.*\n)*- ours\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"README.md": "# A\n- ours\nmore"}, True),
        ({"README.md": "- ours\n", "model.bin": ""}, True),
        ({"README.md": "mine\n- ours\n"}, False),
        ({"README.md": "- ours\n", "notes.txt": ""}, False),
        ({"model.bin": ""}, False),
        ({}, False),
    ],
)
def test_an_export_has_the_mark_and_no_other_files(tmp_path, files, expected):
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    assert is_export(tmp_path, NAMES, MARK) is expected


def test_a_readme_in_another_encoding_is_none(tmp_path):
    (tmp_path / "README.md").write_bytes("说明".encode("gb18030"))
    assert not is_export(tmp_path, NAMES, MARK)


def test_the_library_alone_gives_the_same_ids(tmp_path):
    model = bert_classifier(TWO)
    (tmp_path / "tokenizer.json").write_text(portable_tokenizer(model).to_str(), encoding="utf-8")
    alone = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    text = "房间很干净，前台也热情。"
    assert alone.encode(text).ids == tokenizer_from_json(model.tokenizer_json).encode(text).ids
