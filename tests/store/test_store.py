from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgedistill.store import artifacts
from edgedistill.store.artifacts import Failure, Manifest, Published
from edgedistill.store.scratch import CHECKPOINT
from edgedistill.store.store import Place, Store, folder_name

PLACE = Place("k" * 64, {"data": "c" * 64})


def made(
    store: Store, text: str = "hello", place: Place = PLACE, failures: dict[str, Failure] | None = None
) -> Published:
    partial = store.begin(place)
    (partial / "file.txt").write_text(text)
    return store.publish(partial, manifest(partial, place, failures))


def manifest(partial: Path, place: Place = PLACE, failures: dict[str, Failure] | None = None) -> Manifest:
    files, failures = artifacts.file_entries(partial), failures or {}
    content = artifacts.content_of(files, failures)
    inputs = dict.fromkeys(place.input_contents, "k")
    return Manifest(
        "a", "kind", place.key, {}, inputs, files, {}, "machine", 1.0, 2.0, failures, content, place.input_contents
    )


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def names(store: Store) -> list[str]:
    return sorted(path.name for path in store.folder.iterdir())


def test_what_is_published_is_found_and_nothing_else_is_left(store):
    assert store.find(PLACE) is None
    artifact = made(store)
    assert store.find(PLACE, verify_hashes=True) == artifact
    assert artifact.path("file.txt").read_text() == "hello"
    assert names(store) == [PLACE.name]


def test_the_place_follows_from_key_and_contents_of_inputs_by_role():
    others = [
        Place("l" * 64, {"data": "c" * 64}),
        Place("k" * 64, {"data": "d" * 64}),
        Place("k" * 64, {"more": "c" * 64}),
        Place("k" * 64, {}),
    ]
    assert len({place.name for place in [PLACE, *others]}) == 5
    assert Place("k", {"a": "1", "b": "2"}).name == Place("k", {"b": "2", "a": "1"}).name


def test_what_was_made_of_other_bytes_lies_beside_it(store):
    other = Place(PLACE.key, {"data": "d" * 64})
    one, two = made(store, "one"), made(store, "two", other)
    assert store.find(PLACE) == one
    assert store.find(other) == two


def test_what_failed_is_kept_and_found_by_its_name_only(store):
    failed = made(store, failures={"r1": Failure("it died")})
    assert store.find(PLACE) is None
    assert store.read(failed.folder.name) == failed
    worked = made(store, "worked")
    assert store.find(PLACE) == worked
    assert store.read(failed.folder.name) == failed
    assert made(store, failures={"r1": Failure("otherwise")}).folder != failed.folder


def test_the_second_of_two_that_publish_in_one_place_takes_what_is_there(store):
    first = made(store)
    identity = first.path("file.txt").stat().st_ino
    assert made(store, "made again, with other bytes") == first
    assert first.path("file.txt").stat().st_ino == identity
    assert names(store) == [PLACE.name]


@pytest.mark.parametrize("there", ["damaged", "of another place", "file", "link", "empty"])
def test_whatever_else_lies_there_is_replaced(store, there):
    place = store.folder / PLACE.name
    if there == "damaged":
        made(store)
        (place / "file.txt").write_text("jello")
    elif there == "of another place":
        made(store, "other", Place("o" * 64, {})).folder.rename(place)
        assert store.find(PLACE) is None
    else:
        store.folder.mkdir()
        {"file": lambda: place.write_text("x"), "link": lambda: place.symlink_to("nothing"), "empty": place.mkdir}[
            there
        ]()
    assert store.find(PLACE, verify_hashes=True) is None
    made(store)
    assert (place / "file.txt").read_text() == "hello"
    assert names(store) == [PLACE.name]


def test_a_manifest_that_says_otherwise_than_its_place_is_not_believed(store):
    artifact = made(store)
    file = artifact.path(artifacts.MANIFEST)
    file.write_text(file.read_text().replace("c" * 64, "d" * 64))
    assert store.find(PLACE) is None


def test_published_files_have_the_modes_of_the_umask(store):
    before = os.umask(0o022)
    try:
        partial = store.begin(PLACE)
        (partial / "file.txt").write_text("x")
        (partial / "file.txt").chmod(0o600)
        artifact = store.publish(partial, manifest(partial))
    finally:
        os.umask(before)
    assert artifact.path("file.txt").stat().st_mode & 0o777 == 0o644


def test_no_two_attempts_have_one_name_and_it_tells_whose_it_is(store):
    attempts = [store.begin(PLACE).name for _ in range(20)]
    assert len(set(attempts)) == 20
    assert all(f"-{os.getpid()}-" in name and name.startswith(f"{PLACE.name}.") for name in attempts)


def test_who_holds_a_place_clears_what_died_there(store):
    dead, elsewhere = store.begin(PLACE), store.begin(Place("e" * 64, {}))
    with store.only_maker(PLACE, lambda: None):
        assert not dead.exists()
    assert elsewhere.exists()


@pytest.mark.parametrize("published", [False, True])
def test_whatever_ends_the_making_nothing_half_written_stays(store, published):
    """As when a signal comes while files are hashed, put on the disk, or between publishing and what follows."""

    def make() -> None:
        scratch = store.scratch(PLACE)
        (scratch / "stage").mkdir()
        (scratch / "stage" / CHECKPOINT).write_text("{}")
        (scratch / "worker.log").write_text("x")
        if published:
            made(store)
        store.begin(PLACE)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), store.only_maker(PLACE, lambda: None):
        make()
    assert not list(store.folder.glob("*.partial"))
    left = [path.name for path in (store.folder / "scratch").rglob("*") if path.is_file()]
    assert left == ([] if published else [CHECKPOINT])


def test_scratch_of_what_was_made_in_the_end_is_swept(store):
    scratch, other = store.scratch(PLACE), store.scratch(Place("e" * 64, {}))
    made(store)
    store.sweep()
    assert (scratch.exists(), other.exists()) == (False, True)


def test_only_what_nobody_is_making_is_swept(store):
    living, dead = Place("a" * 64, {}), Place("d" * 64, {})
    half, gone = store.begin(dead), store.scratch(dead)
    (store.folder / "mine.partial").mkdir()
    finished = made(store)
    with Store(store.folder).only_maker(living, lambda: None):
        being_made, kept = store.begin(living), store.scratch(living)
        store.sweep()
        store.forget_scratch([])
        assert (being_made.exists(), kept.exists()) == (True, True)
    assert (half.exists(), gone.exists()) == (False, False)
    assert (store.folder / "mine.partial").exists()
    assert store.find(PLACE) == finished


def test_checkpoints_of_what_is_wanted_stay(store):
    scratch = store.scratch(PLACE)
    store.forget_scratch([PLACE.key])
    assert scratch.exists()
    store.forget_scratch([])
    assert not scratch.exists()


HOLDS = """
import sys
from pathlib import Path
from edgedistill.store.scratch import CHECKPOINT
from edgedistill.store.store import Place, Store

store, place = Store(Path(sys.argv[1])), Place("k" * 64, {"data": "c" * 64})
with store.only_maker(place, lambda: None):
    (store.begin(place) / "half.txt").write_text("half")
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_place_is_waited_for_and_free_when_its_maker_is_killed(store):
    maker = subprocess.Popen(
        [sys.executable, "-c", HOLDS, store.folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert maker.stdin is not None
    assert maker.stdout is not None
    assert maker.stdout.readline() == "held\n"
    (half,) = store.folder.glob("*.partial")
    waited: list[bool] = []

    def waiting() -> None:
        waited.append(half.exists())
        maker.kill()
        maker.wait()

    with store.only_maker(PLACE, waiting):
        assert waited == [True]
        assert not half.exists()
    maker.stdin.close()
    maker.stdout.close()


def test_waiting_ends_when_the_caller_wants_it(store):
    def enough() -> None:
        raise KeyboardInterrupt

    with (
        store.only_maker(PLACE, enough),
        pytest.raises(KeyboardInterrupt),
        Store(store.folder).only_maker(PLACE, enough),
    ):
        pass


def test_the_name_of_a_folder_fits_every_file_system(store):
    assert len(folder_name(made(store, failures={"r1": Failure("x")}).manifest)) < 80
