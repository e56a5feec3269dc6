from __future__ import annotations

import json
import os
from dataclasses import asdict

import pytest

from edgedistill.store import artifacts
from edgedistill.store.artifacts import Manifest, Published


def published(folder, text: str = "hello"):
    (folder / "a").mkdir()
    (folder / "a" / "file.txt").write_text(text)
    files = artifacts.file_entries(folder / "a")
    manifest = Manifest("a", "kind", "k" * 64, {}, {}, files, {"python": "3"}, "machine", 1.0, 2.0)
    artifacts.write_json(folder / "a" / artifacts.MANIFEST, asdict(manifest))
    return Published(folder / "a", manifest)


def test_what_is_written_reads_back(tmp_path):
    artifact = published(tmp_path)
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


def test_a_manifest_that_lists_no_files_is_of_what_failed(tmp_path):
    artifact = published(tmp_path)
    file = tmp_path / "a" / "manifest.json"
    file.write_text(json.dumps(asdict(artifact.manifest) | {"files": []}))
    assert artifacts.read(tmp_path / "a") is None
    file.write_text(
        json.dumps(asdict(artifact.manifest) | {"files": [], "failures": {"a": {"state": "failed", "reason": "x"}}})
    )
    found = artifacts.read(tmp_path / "a")
    assert found is not None
    assert found.failure is not None


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
    artifacts.copy(source, target)
    artifacts.copy(source, target)
    assert target.read_text() == "new"


WRONG_MANIFESTS = [
    "null", "[]", "3", '"x"', "{}", "{ cut", "", "[" * 100_000, '{"files": null}', '{"files": [1]}', "\x00",
    lambda good: {**good, "files": {}},
    lambda good: {**good, "files": [{"path": "../../etc/passwd", "bytes": 1, "sha256": "x"}]},
    lambda good: {**good, "files": [{"path": "/etc/passwd", "bytes": 1, "sha256": "x"}]},
    lambda good: {**good, "files": [{"path": "a\x00b", "bytes": 1, "sha256": "x"}]},
    lambda good: {**good, "files": [{"path": "x" * 5000, "bytes": 1, "sha256": "x"}]},
    lambda good: {**good, "files": [{"path": "file.txt", "bytes": "5", "sha256": "x"}]},
    lambda good: {**good, "failures": {"a": 3}},
    lambda good: {**good, "failures": {"a": {"reason": "x", "state": "else"}}},
    lambda good: {**good, "key": None},
    lambda good: {**good, "inputs": [1]},
    lambda good: {**good, "seconds": "long"},
    lambda good: {name: value for name, value in good.items() if name != "settings"},
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG_MANIFESTS)
def test_a_manifest_that_is_none_is_no_artifact(tmp_path, wrong):
    published(tmp_path)
    file = tmp_path / "a" / "manifest.json"
    file.write_text(wrong if isinstance(wrong, str) else json.dumps(wrong(json.loads(file.read_text()))))
    assert artifacts.read(tmp_path / "a") is None


def test_a_folder_in_place_of_a_manifest_or_file_is_no_artifact(tmp_path):
    published(tmp_path)
    for name in ("file.txt", "manifest.json"):
        (tmp_path / "a" / name).unlink()
        (tmp_path / "a" / name).mkdir()
        assert artifacts.read(tmp_path / "a") is None


def test_a_pipe_in_place_of_a_manifest_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "manifest.json")
    assert artifacts.read(tmp_path) is None


def test_a_copy_may_be_changed_and_has_the_modes_of_the_umask(tmp_path):
    source = tmp_path / "source"
    source.write_text("kept")
    source.chmod(0o600)
    before = os.umask(0o027)
    try:
        artifacts.copy(source, tmp_path / "copy")
    finally:
        os.umask(before)
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o640
    assert artifacts.is_copy(source, tmp_path / "copy")
    (tmp_path / "copy").write_text("edit")
    assert source.read_text() == "kept"
    assert not artifacts.is_copy(source, tmp_path / "copy")
    artifacts.copy(source, tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "kept"


def test_a_hard_link_of_an_earlier_version_becomes_a_copy(tmp_path):
    (tmp_path / "source").write_text("kept")
    os.link(tmp_path / "source", tmp_path / "copy")
    artifacts.copy(tmp_path / "source", tmp_path / "copy")
    (tmp_path / "copy").write_text("edited")
    assert (tmp_path / "source").read_text() == "kept"
