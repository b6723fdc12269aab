"""A clone that lacks something, or is told something wrong: it comes back, or says what to do."""

import json
import shutil
from pathlib import Path

import pytest

from tests.support.clones import Change, Clone, copy_of

pytestmark = pytest.mark.xdist_group("clones that recover")  # the others' runs, copied


def test_push_and_pull_bring_data_and_models_back_without_running_a_stage(
    reproduced: Clone, tmp_path: Path
) -> None:
    assert_comes_back(copy_of(reproduced, tmp_path / "clone"), tmp_path)


@pytest.mark.server
def test_push_and_pull_by_a_bucket(reproduced: Clone, tmp_path: Path, s3_endpoint: str) -> None:
    clone = copy_of(reproduced, tmp_path / "clone")
    clone.dvc("remote", "add", "--default", "bucket", "s3://marquee/store")
    clone.dvc("remote", "modify", "bucket", "endpointurl", s3_endpoint)
    clone.run("git", "commit", "-qam", "a bucket")
    assert_comes_back(clone, tmp_path)


def assert_comes_back(clone: Clone, tmp_path: Path) -> None:
    """Push from here, clone and pull there: data and models are the same, and no store was touched."""
    clone.dvc("push")
    fresh = Clone(tmp_path / "fresh", tmp_path / "home")
    clone.run("git", "clone", "-q", str(clone.folder), str(fresh.folder))
    fresh.dvc("pull", "--allow-missing")
    for name in ("data/raw/ratings.parquet", "data/ratings.parquet", "results/search.json"):
        assert (fresh.folder / name).read_bytes() == (clone.folder / name).read_bytes()
    load = "from marquee.model.fitted_model import load_model; print(load_model('models/fitted').digest)"
    assert fresh.python("-c", load).stdout == clone.python("-c", load).stdout
    assert not (fresh.folder / "mlflow.db").exists()


def test_repro_after_a_pull_mends_registry_and_bento_store_and_says_so(
    reproduced: Clone, tmp_path: Path
) -> None:
    clone = copy_of(reproduced, tmp_path / "clone")
    for store in (clone.folder / "mlflow.db", clone.folder / "mlartifacts"):
        shutil.rmtree(store) if store.is_dir() else store.unlink()
    output = clone.marquee("repro").stdout
    assert "not the register stage's store: running it again" in output
    assert "not the package stage's store: running it again" in output
    assert "marquee version 1 (challenger, champion)" in output
    script = "from experiments.tracking.registry import champion; print(champion('marquee').run_id)"
    packaged = json.loads((clone.folder / ".marquee/packaged.json").read_text())
    assert clone.python("-c", script).stdout.strip() == packaged["run_id"]


def test_a_failing_stage_is_one_line_of_ours_and_exit_code_1(reproduced: Clone, tmp_path: Path) -> None:
    clone = copy_of(reproduced, tmp_path / "clone")
    bad = tmp_path / "bad.csv"
    bad.write_text("user,item,rating\nu1,i1,abc\n")
    clone.change(lambda t: t["data"].update(source="file", path=str(bad)))
    done = clone.marquee("repro", check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert "validate: " in done.stderr
    assert "stopped, for the reason above" in done.stderr


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (
            lambda t: t["search"].update(smapler="grid"),
            2,
            "unknown key 'search.smapler'; did you mean 'sampler'?",
        ),
        (
            lambda t: t["search"]["candidates"].update(svdd={}),
            2,
            "there is no algorithm 'svdd'; did you mean 'svd'",
        ),
        (lambda t: t["data"].update(path="nowhere.csv"), 1, "there is no nowhere.csv"),
    ],
)
def test_wrong_parameters_are_refused_before_any_stage_runs(
    reproduced: Clone, tmp_path: Path, change: Change, code: int, message: str
) -> None:
    clone = copy_of(reproduced, tmp_path / "clone")
    clone.change(change)
    done = clone.marquee("repro", check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (code, 1)
    assert message in done.stderr
