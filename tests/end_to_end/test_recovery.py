"""Clones with missing stores or invalid input: commands restore the stores, or report what to do."""

import json
import shutil
from pathlib import Path

import pytest

from tests.support.clones import Clone, copy_clone
from tests.support.params import ParamsChange

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("recovering clones")]


def test_dvc_pull_restores_data_and_models_without_running_a_stage(reproduced: Clone, tmp_path: Path) -> None:
    assert_restored_by_pull(copy_clone(reproduced, tmp_path / "clone"), tmp_path)


@pytest.mark.server
def test_dvc_pull_restores_data_and_models_from_a_bucket(
    reproduced: Clone, tmp_path: Path, s3_endpoint: str
) -> None:
    clone = copy_clone(reproduced, tmp_path / "clone")
    clone.dvc("remote", "add", "--default", "bucket", "s3://marquee/store")
    clone.dvc("remote", "modify", "bucket", "endpointurl", s3_endpoint)
    clone.run("git", "commit", "-qam", "a bucket")
    assert_restored_by_pull(clone, tmp_path)


def assert_restored_by_pull(clone: Clone, tmp_path: Path) -> None:
    """Push from a clone and pull in a fresh one: data and models are equal, no tracking store is created."""
    clone.dvc("push")
    fresh = Clone(tmp_path / "fresh", tmp_path / "home")
    clone.run("git", "clone", "-q", str(clone.folder), str(fresh.folder))
    fresh.dvc("pull", "--allow-missing")
    for name in ("data/raw/ratings.parquet", "data/interactions.parquet", "results/search.json"):
        assert (fresh.folder / name).read_bytes() == (clone.folder / name).read_bytes()
    load = (
        "from marquee.model.fitted_model import load_model; print(load_model('models/fitted_model').digest)"
    )
    assert fresh.python("-c", load).stdout == clone.python("-c", load).stdout
    assert not (fresh.folder / "mlflow.db").exists()


def test_repro_after_a_pull_restores_registry_and_bento_store(reproduced: Clone, tmp_path: Path) -> None:
    clone = copy_clone(reproduced, tmp_path / "clone")
    for store in (clone.folder / "mlflow.db", clone.folder / "mlartifacts"):
        shutil.rmtree(store) if store.is_dir() else store.unlink()
    output = clone.marquee("repro").stdout
    assert "running the stage `register` again" in output
    assert "running the stage `package` again" in output
    assert "marquee version 1 (challenger, champion)" in output
    script = (
        "from experiments.tracking.model_registry import find_champion;print(find_champion('marquee').run_id)"
    )
    packaged = json.loads((clone.folder / ".marquee/packaged.json").read_text())
    assert clone.python("-c", script).stdout.strip() == packaged["run_id"]


def test_failing_stage_is_reported_in_one_line_with_exit_code_1(reproduced: Clone, tmp_path: Path) -> None:
    clone = copy_clone(reproduced, tmp_path / "clone")
    table = tmp_path / "table.csv"
    table.write_text("user,item,rating\nu1,i1,abc\n")
    clone.change_params(lambda tree: tree["data"].update(source="file", path=str(table)))
    result = clone.marquee("repro", check=False)
    assert result.returncode == 1
    assert "Traceback" not in result.stdout + result.stderr
    assert "validate: " in result.stderr
    assert "`dvc repro` failed; see the message above" in result.stderr


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (
            lambda tree: tree["search"].update(smapler="grid"),
            2,
            "unknown key 'search.smapler'; did you mean 'sampler'?",
        ),
        (
            lambda tree: tree["search"]["candidates"].update(svdd={}),
            2,
            "unknown algorithm 'svdd'; did you mean 'svd'",
        ),
        (lambda tree: tree["data"].update(path="nowhere.csv"), 1, "nowhere.csv not found"),
    ],
)
def test_invalid_parameters_are_rejected_before_any_stage_runs(
    reproduced: Clone, tmp_path: Path, change: ParamsChange, code: int, message: str
) -> None:
    clone = copy_clone(reproduced, tmp_path / "clone")
    clone.change_params(change)
    result = clone.marquee("repro", check=False)
    assert (result.returncode, len(result.stderr.splitlines())) == (code, 1)
    assert message in result.stderr
