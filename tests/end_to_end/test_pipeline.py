"""The whole pipeline in a fresh clone: it runs, is reproducible, and reruns only what a change affects."""

import html
import json
import os
import re
from pathlib import Path

import pytest
import yaml

from tests.support.clones import Clone, copy_clone, executed_stages

# One process runs all tests of the group, so the clones are copied only once.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("clones")]
ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


def test_repro_prints_leaderboard_version_bento_times_and_next_commands(reproduced: Clone) -> None:
    output = reproduced.output
    for expected in (
        "trials on demo, lists on validation parts, errors on folds",
        "▶",
        "SVD",
        "Baseline",
        "Slope One",
        "Chosen  ",
    ):
        assert expected in output
    assert "marquee version 1 (challenger, champion)" in output
    assert json.loads((reproduced.folder / ".marquee/packaged.json").read_text())["tag"] in output
    times = output.split("Time  ")[1]
    assert all(f"{stage} " in times for stage in STAGES)
    assert all(command in output for command in ("make ui", "make serve", "dvc exp run -S"))


def test_report_metrics_and_plots_are_produced(reproduced: Clone, tmp_path: Path) -> None:
    page = (reproduced.folder / "reports/search.html").read_text()
    assert re.search("(was|were) chosen on demo", page)
    selection = json.loads((reproduced.folder / "results/selection.json").read_text())
    assert selection["recommender"]["reason"] in html.unescape(page)
    assert selection["predictor"]["reason"] in html.unescape(page)
    metrics = json.loads(reproduced.dvc("metrics", "show", "--json").stdout)[""]["data"]
    headline = {"NDCG", "RMSE", "coverage", "ndcg_high", "ndcg_low", "popularity_ratio"}
    assert metrics["results/headline.json"]["data"].keys() == headline
    reproduced.dvc("plots", "show", "--out", str(tmp_path))
    plots = (tmp_path / "index.html").read_text()
    for name in ("pareto", "recommender_losses", "segments", "leakage", "learning_curves"):
        assert re.search(rf'<img[^>]* src="[^"]*{name}.svg"', plots.replace("\n", " "))


def test_second_repro_runs_no_stage(reproduced: Clone) -> None:
    lock = reproduced.read_lock()
    assert executed_stages(reproduced.dvc("repro").stdout) == []
    assert reproduced.read_lock() == lock


def test_source_digest_is_in_dvc_lock_run_and_model(reproduced: Clone) -> None:
    digest = json.loads((reproduced.folder / "data/source.json").read_text())["digest"]
    outs = yaml.safe_load(reproduced.read_lock())["stages"]["fetch"]["outs"]
    assert {"data/raw": digest}.items() <= {out["path"]: out["md5"] for out in outs}.items()
    assert (
        json.loads((reproduced.folder / "models/fitted_model/manifest.json").read_text())["data_digest"]
        == digest
    )
    script = (
        "from mlflow import MlflowClient; from experiments.tracking.model_registry import find_champion;"
        "v = find_champion('marquee');"
        "run = MlflowClient('sqlite:///mlflow.db').get_run(v.run_id);"
        "print(v.tags['data_digest'], run.data.tags['data_digest']);"
        "print(run.inputs.dataset_inputs[0].dataset.digest)"
    )
    assert reproduced.python("-c", script).stdout.split() == [digest] * 3


def test_two_clones_of_a_commit_write_the_same_dvc_lock(reproduced: Clone, second_clone: Clone) -> None:
    assert second_clone.read_lock() == reproduced.read_lock()


def test_changed_parameter_reruns_only_dependent_stages(reproduced: Clone, tmp_path: Path) -> None:
    clone = copy_clone(reproduced, tmp_path / "clone")
    clone.change_params(lambda tree: tree["select"].update(max_fit_seconds=500))
    # The winner stays the same, so that it need not be fitted again.
    assert executed_stages(clone.dvc("repro").stdout) == ["measure", "select", "record"]
    clone.change_params(lambda tree: tree["search"].update(workers=1))
    assert executed_stages(clone.dvc("repro").stdout) == []


PRINT_SEARCH_RUNS = """
import json
from mlflow import MlflowClient
from experiments.tracking.runs import ExperimentTracker
tracker = ExperimentTracker("marquee")
client = MlflowClient(tracker.uri)
print(json.dumps([client.get_run(run).data.to_dictionary() for run in tracker.recent_search_run_ids(5)]))
"""


def test_pipeline_that_reuses_a_search_gets_its_own_run(exported_again: Clone) -> None:
    clone = exported_again
    assert executed_stages(clone.output) == ["export", "register", "package", "record"]
    second, first = json.loads(clone.python("-c", PRINT_SEARCH_RUNS).stdout)
    assert (first["tags"]["model_version"], second["tags"]["model_version"]) == ("marquee 1", "marquee 2")
    assert second["metrics"]["test_rmse"] == first["metrics"]["test_rmse"]
    head = clone.run("git", "rev-parse", "HEAD").stdout.strip()
    assert second["tags"]["mlflow.source.git.commit"] == head
    assert first["tags"]["mlflow.source.git.commit"] == clone.run("git", "rev-parse", "HEAD~2").stdout.strip()


def test_new_version_becomes_challenger_and_champion_stays(exported_again: Clone) -> None:
    assert "marquee version 2 is new; aliases: challenger\n" in exported_again.output
    script = (
        "from experiments.tracking.model_registry import find_champion;"
        "print(find_champion('marquee').version)"
    )
    assert exported_again.python("-c", script).stdout.strip() == "1"


def test_champion_is_refitted_and_scored_beside_the_winner(exported_again: Clone) -> None:
    output = exported_again.dvc("repro", "--force", "--single-item", "evaluate").stdout
    assert "champion v1, refitted" in output


def test_equal_content_is_registered_once(reproduced: Clone, tmp_path: Path) -> None:
    clone = copy_clone(reproduced, tmp_path / "clone")
    output = clone.dvc("repro", "--force", "--single-item", "register").stdout
    assert "marquee version 1 already exists with the same content" in output


def test_dvc_experiment_changes_the_data_source_through_parameters(reproduced: Clone, tmp_path: Path) -> None:
    clone = copy_clone(reproduced, tmp_path / "clone")
    source = tmp_path / "mine.csv"
    rows = [f"u{u},i{i},{1 + (u * i + u) % 5}" for u in range(40) for i in range(30) if (u + i) % 3]
    source.write_text("user,item,rating\n" + "\n".join(rows) + "\n")
    clone.dvc("exp", "run", "-S", "data.source=file", "-S", f"data.path={source}", "--name", "mine", "split")
    assert json.loads((clone.folder / "data/source.json").read_text())["source"] == "file"
    assert "mine" in clone.dvc("exp", "show", "--csv").stdout


def test_movielens_100k_model_recommends_items_with_titles(second_clone: Clone) -> None:
    data = os.environ.get("MARQUEE_DATA_DIR")
    if not data:
        pytest.skip("set MARQUEE_DATA_DIR to a folder with ml-100k")
    second_clone.change_params(lambda tree: tree["data"].update(source="ml-100k", path=f"{data}/ml-100k"))
    second_clone.change_params(lambda tree: tree["search"].update(candidates={"svd": {"n_factors": [20]}}))
    second_clone.dvc("repro", "export")
    script = (
        "from pathlib import Path;"
        "from service.recommendation.loaded_model import LoadedModel;"
        "from service.recommendation.recommender import RecommendationRequest, UserContext;"
        "model = LoadedModel.load(Path('models/fitted_model'));"
        "user = UserContext(model.fitted_model.inner_user_id('1'));"
        "recommendations = model.recommender.recommend(user, RecommendationRequest(5));"
        "titles = [model.describe_item(item)['title'] for item, _ in recommendations.items];"
        "print(recommendations.fallback_level, *titles, sep='|')"
    )
    fallback_level, *titles = second_clone.python("-c", script).stdout.strip().split("|")
    assert fallback_level == "personal"
    assert len(titles) == 5
    assert all(re.search(r"\(19\d\d\)$", title) for title in titles)


def test_pipeline_reruns_only_if_the_source_file_changes(reproduced: Clone, tmp_path: Path) -> None:
    clone = copy_clone(reproduced, tmp_path / "clone")
    source = tmp_path / "mine.csv"
    source.write_text(
        "user,item,rating\n" + "".join(f"u{u},i{i},{1 + (u + i) % 5}\n" for u in range(9) for i in range(9))
    )
    clone.change_params(lambda tree: tree["data"].update(source="file", path=str(source)))
    assert executed_stages(clone.dvc("repro", "ingest").stdout) == ["fetch", "ingest"]
    assert executed_stages(clone.dvc("repro", "ingest").stdout) == []
    source.write_text(source.read_text() + "u1,i77,4\n")
    assert executed_stages(clone.dvc("repro", "ingest").stdout) == ["fetch", "ingest"]
