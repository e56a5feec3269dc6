from __future__ import annotations

import json

import pytest

from edgedistill import artifacts
from edgedistill.artifacts import Manifest


def published(tmp_path, text: str = "hello"):
    partial = tmp_path / "a.partial"
    partial.mkdir()
    (partial / "file.txt").write_text(text)
    manifest = Manifest(
        "a", "kind", "k" * 64, {}, {}, artifacts.file_entries(partial), {"python": "3"}, "machine", 1.0, 2.0
    )
    return artifacts.publish(partial, tmp_path / "a", manifest)


def test_what_is_published_reads_back(tmp_path):
    artifact = published(tmp_path)
    assert not (tmp_path / "a.partial").exists()
    assert artifacts.read(tmp_path / "a") == artifact
    assert artifact.manifest.files[0].bytes == 5


def test_a_missing_or_resized_file_is_no_artifact(tmp_path):
    published(tmp_path)
    (tmp_path / "a" / "file.txt").write_text("longer than before")
    assert artifacts.read(tmp_path / "a") is None
    (tmp_path / "a" / "file.txt").unlink()
    assert artifacts.read(tmp_path / "a") is None


def test_a_changed_byte_is_found_by_its_hash_only(tmp_path):
    published(tmp_path)
    (tmp_path / "a" / "file.txt").write_text("jello")
    assert artifacts.read(tmp_path / "a") is not None
    assert artifacts.read(tmp_path / "a", verify_hashes=True) is None


def test_a_folder_without_its_manifest_is_no_artifact(tmp_path):
    published(tmp_path)
    (tmp_path / "a" / "manifest.json").write_text("{ cut off")
    assert artifacts.read(tmp_path / "a") is None


def test_text_replaces_whole(tmp_path):
    artifacts.write_json(tmp_path / "deep" / "x.json", {"a": 1})
    artifacts.write_json(tmp_path / "deep" / "x.json", {"a": 2})
    assert json.loads((tmp_path / "deep" / "x.json").read_text()) == {"a": 2}
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["x.json"]


@pytest.mark.parametrize("there", [False, True])
def test_links_replace_what_was_there(tmp_path, there):
    source, target = tmp_path / "source", tmp_path / "sub" / "target"
    source.write_text("new")
    if there:
        target.parent.mkdir()
        target.write_text("old")
    artifacts.link(source, target)
    artifacts.link(source, target)
    assert target.read_text() == "new"
