from __future__ import annotations

from edgedistill.store.scratch import CHECKPOINT, keep_checkpoints


def test_an_interrupted_steps_scratch_keeps_its_checkpoints_only(tmp_path):
    for name in ("r1/stage", "r1/stage.partial", "r2/cache", "r3"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "r1" / "stage" / CHECKPOINT).write_text("{}")
    (tmp_path / "r2" / "worker.log").write_text("x")
    for name in ("r1", "r2", "r3"):
        keep_checkpoints(tmp_path / name)
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert left == ["r1", "r1/stage", "r1/stage/state.json"]
