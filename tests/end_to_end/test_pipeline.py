"""The whole loop in a fresh clone: it runs, it repeats, it reruns only what changed."""

import html
import json
import os
import re
from pathlib import Path

import pytest
import yaml

from pipelines.support.summary import STAGES
from tests.support.clones import Clone, copy_of, ran

pytestmark = pytest.mark.xdist_group("clones")  # all of them share one run


def test_repro_ends_with_leaderboard_version_bento_times_and_next_commands(reproduced: Clone) -> None:
    output = reproduced.output
    for expected in (
        "Leaderboard: cross-validation on demo",
        "▶",
        "SVD",
        "Baseline",
        "Slope One",
        "Chosen  ",
    ):
        assert expected in output
    assert "marquee version 1 (challenger, champion)" in output
    assert json.loads((reproduced.folder / ".marquee/packaged.json").read_text())["tag"] in output
    assert all(f"{stage} " in output.split("Seconds")[1] for stage in STAGES)
    assert all(command in output for command in ("make ui", "make serve", "dvc exp run -S"))


def test_the_report_is_one_file_and_dvc_shows_metrics_and_plots(reproduced: Clone, tmp_path: Path) -> None:
    page = (reproduced.folder / "reports/search.html").read_text()
    assert "was chosen on demo" in page
    choice = json.loads((reproduced.folder / "results/choice.json").read_text())
    assert choice["reason"] in html.unescape(page)
    metrics = json.loads(reproduced.dvc("metrics", "show", "--json").stdout)[""]["data"]
    assert {"rmse", "ndcg", "coverage"} <= metrics["results/headline.json"]["data"].keys()
    reproduced.dvc("plots", "show", "--out", str(tmp_path))
    shown = (tmp_path / "index.html").read_text()
    for name in ("pareto", "groups", "leakage", "learning_curves"):
        assert re.search(rf'<img[^>]* src="[^"]*{name}.svg"', shown.replace("\n", " "))


def test_a_second_repro_does_nothing(reproduced: Clone) -> None:
    before = reproduced.lock()
    assert ran(reproduced.dvc("repro").stdout) == []
    assert reproduced.lock() == before


def test_the_source_digest_is_in_the_lock_the_run_and_the_model(reproduced: Clone) -> None:
    digest = json.loads((reproduced.folder / "data/source.json").read_text())["digest"]
    outs = yaml.safe_load(reproduced.lock())["stages"]["fetch"]["outs"]
    assert {"data/raw": digest}.items() <= {out["path"]: out["md5"] for out in outs}.items()
    assert (
        json.loads((reproduced.folder / "models/fitted/manifest.json").read_text())["data_digest"] == digest
    )
    script = (
        "from mlflow import MlflowClient; from experiments.tracking.registry import champion;"
        "v = champion('marquee');"
        "run = MlflowClient('sqlite:///mlflow.db').get_run(v.run_id);"
        "print(v.tags['data_digest'], run.data.tags['data_digest']);"
        "print(run.inputs.dataset_inputs[0].dataset.digest)"
    )
    assert reproduced.python("-c", script).stdout.split() == [digest] * 3


def test_two_clones_of_one_commit_end_with_the_same_lock(reproduced: Clone, second: Clone) -> None:
    assert second.lock() == reproduced.lock()


def test_a_changed_parameter_reruns_only_what_depends_on_it(reproduced: Clone, tmp_path: Path) -> None:
    clone = copy_of(reproduced, tmp_path / "clone")
    clone.change(lambda t: t["select"].update(max_fit_seconds=500))
    assert ran(clone.dvc("repro").stdout) == ["measure", "select", "record"]  # the same winner
    clone.change(lambda t: t["search"].update(workers=1))
    assert ran(clone.dvc("repro").stdout) == []


RUNS = """
import json
from mlflow import MlflowClient
from experiments.tracking.runs import Tracker
tracker = Tracker("marquee")
client = MlflowClient(tracker.uri)
print(json.dumps([client.get_run(run).data.to_dictionary() for run in tracker.recent_searches(5)]))
"""


def test_a_pipeline_that_reuses_a_search_gets_a_run_of_its_own(exported_again: Clone) -> None:
    clone = exported_again
    assert ran(clone.output) == ["export", "register", "package", "record"]
    second, first = json.loads(clone.python("-c", RUNS).stdout)
    assert (first["tags"]["model_version"], second["tags"]["model_version"]) == ("marquee 1", "marquee 2")
    assert second["metrics"]["test_rmse"] == first["metrics"]["test_rmse"]
    head = clone.run("git", "rev-parse", "HEAD").stdout.strip()
    assert second["tags"]["mlflow.source.git.commit"] == head
    assert first["tags"]["mlflow.source.git.commit"] == clone.run("git", "rev-parse", "HEAD~2").stdout.strip()


def test_a_new_version_becomes_challenger_and_the_champion_stays(exported_again: Clone) -> None:
    assert "marquee version 2 is new; aliases: challenger\n" in exported_again.output
    script = "from experiments.tracking.registry import champion; print(champion('marquee').version)"
    assert exported_again.python("-c", script).stdout.strip() == "1"


def test_the_champion_is_scored_beside_the_winner(exported_again: Clone) -> None:
    output = exported_again.dvc("repro", "--force", "--single-item", "evaluate").stdout
    assert "champion v1, refitted here" in output


def test_a_registered_content_is_never_registered_twice(reproduced: Clone, tmp_path: Path) -> None:
    clone = copy_of(reproduced, tmp_path / "clone")
    again = clone.dvc("repro", "--force", "--single-item", "register").stdout
    assert "marquee version 1 was there already, with the same content" in again


def test_an_experiment_on_another_source_runs_by_its_parameters_alone(
    reproduced: Clone, tmp_path: Path
) -> None:
    clone = copy_of(reproduced, tmp_path / "clone")
    source = tmp_path / "mine.csv"
    rows = [f"u{u},i{i},{1 + (u * i + u) % 5}" for u in range(40) for i in range(30) if (u + i) % 3]
    source.write_text("user,item,rating\n" + "\n".join(rows) + "\n")
    clone.dvc("exp", "run", "-S", "data.source=file", "-S", f"data.path={source}", "--name", "mine", "split")
    assert json.loads((clone.folder / "data/source.json").read_text())["source"] == "file"
    assert "mine" in clone.dvc("exp", "show", "--csv").stdout


def test_movielens_100k_ends_in_recommendations_with_titles(second: Clone) -> None:
    data = os.environ.get("MARQUEE_DATA_DIR")
    if not data:
        pytest.skip("MARQUEE_DATA_DIR is not set: it names the folder that holds ml-100k")
    second.change(lambda t: t["data"].update(source="ml-100k", path=f"{data}/ml-100k"))
    second.change(lambda t: t["search"].update(candidates={"svd": {"n_factors": [20]}}))
    second.dvc("repro", "export")
    script = (
        "from pathlib import Path; from service.recommendation.recommender import Person, Wish;"
        "from service.recommendation.loaded_model import load; served = load(Path('models/fitted'));"
        "ask = served.recommender.recommend;"
        "answer = ask(Person(served.model.user_number('1')), Wish(5));"
        "print(answer.rung, *(served.described(item)['title'] for item, _ in answer.items), sep='|')"
    )
    rung, *titles = second.python("-c", script).stdout.strip().split("|")
    assert rung == "personal"
    assert len(titles) == 5
    assert all(re.search(r"\(19\d\d\)$", title) for title in titles)


def test_a_changed_source_file_reruns_the_pipeline_and_an_unchanged_one_does_not(
    reproduced: Clone, tmp_path: Path
) -> None:
    clone = copy_of(reproduced, tmp_path / "clone")
    source = tmp_path / "mine.csv"
    source.write_text(
        "user,item,rating\n" + "".join(f"u{u},i{i},{1 + (u + i) % 5}\n" for u in range(9) for i in range(9))
    )
    clone.change(lambda t: t["data"].update(source="file", path=str(source)))
    assert ran(clone.dvc("repro", "ingest").stdout) == ["fetch", "ingest"]
    assert ran(clone.dvc("repro", "ingest").stdout) == []
    source.write_text(source.read_text() + "u1,i77,4\n")
    assert ran(clone.dvc("repro", "ingest").stdout) == ["fetch", "ingest"]
