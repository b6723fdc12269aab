"""The stages fit, evaluate, refit and export: what is trained on which interactions, and what is served."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from experiments.config import Params, load_params
from experiments.config.offline import DataParams
from experiments.tracking.model_registry import ModelVersion, recipe_tags
from marquee.algorithms import product_ranker
from marquee.interactions.feedback import FeedbackSpec
from marquee.model.feedback_weights import FeedbackWeights
from marquee.model.fitted_model import FittedModel, load_model
from marquee.model.recipe import Recipe
from pipelines.stages import evaluate
from pipelines.stages.evaluate import evaluate_on_test_set
from pipelines.stages.export import choose_feedback_weights, export
from pipelines.stages.fit import fit
from pipelines.stages.refit import refit

PARAMS = Path(__file__).parents[2] / "params.yaml"
EASE = {"algorithm": "ease", "parameters": {"reg": 5.0}, "trial": 0, "reason": "best lists"}
SVD = {"algorithm": "svd", "parameters": {"n_factors": 4}, "trial": 1, "reason": "best RMSE"}
# Every rating counts, so few counts are equal; the order of equal ones differs between users.
POPULARITY = {"algorithm": "popularity", "parameters": {}, "trial": 2, "reason": "best lists"}
N_NEW_ROWS = 20  # last rows, by users and of items that are not in the other rows


def sample_interactions() -> pd.DataFrame:
    """Return 420 ratings; the last ones are by new users and of new items."""
    rng = np.random.default_rng(5)
    cells = rng.choice(40 * 30, size=400, replace=False)
    users, items = cells // 30, cells % 30
    ratings = np.clip(np.round(3 + np.sin(users) + np.cos(items) + rng.normal(0, 0.5, 400)), 1, 5)
    frame = pd.DataFrame({"user": [f"u{n}" for n in users], "item": [f"i{n}" for n in items]})
    new = pd.DataFrame(
        {
            "user": [f"new{n % 4}" for n in range(N_NEW_ROWS)],
            "item": [f"i{n}" if n % 2 else f"new{n}" for n in range(N_NEW_ROWS)],
        }
    )
    rated = pd.concat([frame, new], ignore_index=True)
    return rated.assign(rating=np.concatenate([ratings, [5.0] * N_NEW_ROWS]).astype(np.float32))


def rate_items_differently_often() -> pd.DataFrame:
    """Return ratings of 28 items, of which no two have the same number of ratings; the last ones are new."""
    rng = np.random.default_rng(6)
    pairs = [(f"u{user}", f"i{item}") for item in range(28) for user in rng.permutation(40)[: item + 1]]
    frame = pd.DataFrame(pairs, columns=["user", "item"]).sample(frac=1.0, random_state=1)
    return frame.assign(rating=rng.integers(1, 6, len(frame)).astype(np.float32)).reset_index(drop=True)


INTERACTIONS = sample_interactions()
N_TRAIN = 378  # 90%


class ServingProject:
    """Folder with the inputs of these stages; they run in this process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("data/split", "results", "models"):
            (folder / name).mkdir(parents=True)
        self.write_tables(INTERACTIONS)
        feedback = {"feedback": "explicit", "scale": [1.0, 5.0], "positive_from": 4.0, "repeats": "last"}
        self.write_json("data/feedback.json", {**feedback, "reason": "there are ratings"})
        self.write_json("data/split/split.json", {"strategy": "random", "repeat": "exclude"})
        items = pd.DataFrame({"item": INTERACTIONS["item"].unique()}).assign(title=None, genres="")
        items.to_parquet(folder / "data/items.parquet", index=False)
        source = {"source": "demo", "digest": "0123456789abcdef.dir", "scale": [1.0, 5.0]}
        self.write_json("data/source.json", source)
        self.write_search([("svd", {"n_factors": 4}, 0.9), ("svd", {"n_factors": 8}, 0.8)])
        self.select(EASE, SVD)

    def write_tables(self, interactions: pd.DataFrame) -> None:
        """Write all interactions, and the training and test sets, without newcomers."""
        interactions.to_parquet(self.folder / "data/interactions.parquet", index=False)
        tables = {
            "train": interactions[:N_TRAIN],
            "test": interactions[N_TRAIN:],
            "history": interactions[:0],
            "repeats": interactions[:0],
        }
        for name, table in tables.items():
            table.to_parquet(self.folder / f"data/split/{name}.parquet", index=False)

    def write_json(self, name: str, content: Any) -> None:
        (self.folder / name).write_text(json.dumps(content))

    def write_search(self, trials: list[tuple[str, dict[str, Any], float]]) -> None:
        """Write trials with an algorithm, parameters and RMSE."""
        records = [
            {
                "number": number,
                "algorithm": algorithm,
                "parameters": parameters,
                "model_bytes": 1,
                "folds": [{"rmse": rmse, "mae": rmse, "impossible": 0.0}] * 3,
            }
            for number, (algorithm, parameters, rmse) in enumerate(trials)
        ]
        self.write_json("results/search.json", {"trials": records})

    def select(self, recommender: dict[str, Any], predictor: dict[str, Any] | None) -> None:
        self.write_json("results/selection.json", {"recommender": recommender, "predictor": predictor})

    def write_repeats(self, repeats: pd.DataFrame) -> None:
        """Write held-out pairs of which the training set has earlier rows."""
        repeats.to_parquet(self.folder / "data/split/repeats.parquet", index=False)

    def make_implicit(self) -> None:
        """Declare the ratings to be weights."""
        self.write_tables(INTERACTIONS.rename(columns={"rating": "weight"}))
        feedback = {"feedback": "implicit", "scale": None, "positive_from": 0.0, "repeats": "sum"}
        self.write_json("data/feedback.json", {**feedback, "reason": "there are no ratings"})
        self.select(EASE, None)
        self.write_search([])

    def run(self, *stages: Callable[[Params], None]) -> None:
        for stage in stages or (fit, evaluate_on_test_set, refit, export):
            stage(load_params(PARAMS))

    def read_json(self, name: str) -> dict[str, Any]:
        tree: dict[str, Any] = json.loads((self.folder / name).read_text())
        return tree

    @property
    def model(self) -> FittedModel:
        return load_model(self.folder / "models/fitted_model")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServingProject:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(evaluate, "find_champion", lambda _: None)
    return ServingProject(tmp_path)


def assert_all_interactions_are_known(model: FittedModel) -> None:
    """Every user and item of the file is known, and no stored list contains an item its user has chosen."""
    assert {*model.arrays.users} == {*INTERACTIONS["user"]}
    assert {*model.arrays.items} == {*INTERACTIONS["item"]}
    for user, items in INTERACTIONS.groupby("user")["item"]:
        recommended = model.recommend(str(user), 100)
        assert not set(recommended) & set(items)
        assert recommended


@pytest.mark.parametrize(("recommender", "predictor"), [(EASE, SVD), (SVD, SVD), (POPULARITY, SVD)])
def test_served_model_knows_all_interactions(
    project: ServingProject, recommender: dict[str, Any], predictor: dict[str, Any]
) -> None:
    project.select(recommender, predictor)
    project.run()
    assert_all_interactions_are_known(project.model)


def test_served_model_of_implicit_feedback_knows_all_interactions(project: ServingProject) -> None:
    project.make_implicit()
    project.run()
    assert_all_interactions_are_known(project.model)
    manifest = project.model.manifest
    assert (manifest.feedback, manifest.predictor, manifest.scale) == ("implicit", None, None)
    assert not any(
        "rmse" in score for score in project.read_json("results/evaluation.json")["scores"].values()
    )
    assert list((project.folder / "models/svd_model").iterdir()) == []


def test_served_model_has_attributes_of_items_and_the_latest_timestamp(project: ServingProject) -> None:
    project.write_tables(INTERACTIONS.assign(timestamp=np.arange(len(INTERACTIONS))))
    items = pd.read_parquet(project.folder / "data/items.parquet")
    items.assign(series="Alien").iloc[:3].to_parquet(project.folder / "data/items.parquet", index=False)
    project.run()
    model = project.model
    assert model.manifest.trained_until == len(INTERACTIONS) - 1
    assert model.item_attributes.names == ("genres", "series")
    (series_items,) = model.item_attributes.items_by_value["series"].values()
    assert {model.arrays.items[item] for item in series_items} == {*items["item"][:3]}


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({}, FeedbackWeights()),
        ({"weight": "plays"}, FeedbackWeights()),
        ({"weight": "watch_minutes"}, FeedbackWeights(counts_minutes=True)),
        (
            {"event": {"column": "event", "weights": {"click": 0.5, "watch": 4, "return": -1}}},
            FeedbackWeights(click=0.5, watch=4, rating=0.5),
        ),
        (
            {"event": {"column": "event", "weights": {"view": 2, "buy": 5}}},
            FeedbackWeights(click=2, watch=2, rating=2),
        ),
    ],
)
def test_feedback_has_the_weight_of_its_event_type_or_the_smallest(
    columns: dict[str, Any], expected: FeedbackWeights
) -> None:
    params = load_params(PARAMS)
    names = {"user": "user", "item": "item", **columns}
    data = params.data.model_dump() | {"source": "file"}
    data["file"] = params.data.file.model_dump() | {"columns": names}
    changed = params.model_copy(update={"data": DataParams.model_validate(data)})
    feedback = FeedbackSpec("implicit", "no ratings", None, 0.0, "sum")
    assert choose_feedback_weights(changed, feedback) == expected


def test_manifest_has_both_recipes_and_says_what_the_scores_belong_to(project: ServingProject) -> None:
    project.run()
    manifest, scores = project.model.manifest, project.read_json("results/evaluation.json")["scores"]
    assert (manifest.recommender.algorithm, manifest.predictor and manifest.predictor.algorithm) == (
        "ease",
        "svd",
    )
    assert manifest.metrics["test_ndcg"] == scores["recommender"]["ndcg"]
    assert manifest.metrics["test_rmse"] == scores["predictor"]["rmse"]
    assert manifest.metrics_note.startswith("scores of the recipes, trained on 90% of the interactions")
    assert (manifest.score_unit, manifest.is_personal) == ("relative", True)


def test_one_recipe_for_both_roles_is_fitted_and_stored_once(project: ServingProject) -> None:
    project.select(SVD, SVD)
    project.run()
    roles = {"recommender": "recommender", "predictor": "recommender"}
    assert project.read_json("models/algorithm_state/roles.json") == roles
    assert not list((project.folder / "models/fitted_model").glob("predictor_*"))
    assert not project.model.predict_rating("u1", "i1").was_impossible
    assert project.model.manifest.score_unit == "stars"


def test_one_recipe_for_both_roles_has_one_row(
    project: ServingProject, capsys: pytest.CaptureFixture[str]
) -> None:
    project.select(SVD, SVD)
    project.run(fit, evaluate_on_test_set)
    scores = project.read_json("results/evaluation.json")["scores"]
    assert scores["recommender"]["rmse"] == scores["predictor"]["rmse"]
    assert "SVD (recommender; predictor)" in capsys.readouterr().out


def test_recommender_with_shared_lists_is_called_not_personal(
    project: ServingProject, capsys: pytest.CaptureFixture[str]
) -> None:
    project.write_tables(rate_items_differently_often())
    project.select(POPULARITY, SVD)
    project.run()
    assert not project.model.manifest.is_personal
    assert "Popularity gives nearly the same list to everybody" in " ".join(capsys.readouterr().out.split())


def test_best_svd_of_the_search_becomes_a_model_of_its_own(project: ServingProject) -> None:
    project.run()
    svd = load_model(project.folder / "models/svd_model")
    assert svd.manifest.recommender == svd.manifest.predictor
    assert svd.manifest.recommender.parameters == {"n_factors": 8}  # the lower RMSE
    assert (
        svd.manifest.metrics["test_rmse"]
        == project.read_json("results/evaluation.json")["scores"]["svd"]["rmse"]
    )
    assert not svd.predict_rating("new1", "i1").was_impossible  # fitted on the test set, too


def test_search_without_svd_leaves_an_empty_folder(project: ServingProject) -> None:
    project.write_search([("nmf", {}, 0.8)])
    project.run()
    assert list((project.folder / "models/svd_model").iterdir()) == []


def test_evaluation_compares_with_popularity_and_baseline(
    project: ServingProject, capsys: pytest.CaptureFixture[str]
) -> None:
    project.run(fit, evaluate_on_test_set)
    evaluation = project.read_json("results/evaluation.json")
    assert set(evaluation["scores"]) == {"recommender", "predictor", "svd", "popularity", "baseline_only"}
    recommender, popularity = (evaluation["scores"][name] for name in ("recommender", "popularity"))
    assert recommender["popularity_ratio"] == pytest.approx(recommender["ndcg"] / popularity["ndcg"])
    assert recommender["ndcg_low"] <= recommender["ndcg"] <= recommender["ndcg_high"]
    assert "rmse" not in recommender
    headline = project.read_json("results/headline.json")
    assert list(headline)[:2] == ["NDCG", "RMSE"]  # DVC shows metrics in this order
    assert set(headline) == {"NDCG", "RMSE", "coverage", "ndcg_high", "ndcg_low", "popularity_ratio"}
    assert headline["NDCG"] == recommender["ndcg"]
    assert headline["RMSE"] == evaluation["scores"]["predictor"]["rmse"]
    assert f"of {evaluation['test_set']['users']} users of the test part" in " ".join(
        capsys.readouterr().out.split()
    )


def test_loss_by_the_weights_that_are_not_served_is_reported(
    project: ServingProject, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(product_ranker, "N_ITEM_WEIGHTS", 2)
    project.run(fit, evaluate_on_test_set)
    recommender = project.read_json("results/evaluation.json")["scores"]["recommender"]
    assert 0 <= recommender["served_ndcg"] <= 1
    output = " ".join(capsys.readouterr().out.split())
    assert f"lists computed from these have NDCG@10 {recommender['served_ndcg']:.4f}" in output


def read_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_newcomers_are_evaluated_after_their_first_interactions(project: ServingProject) -> None:
    test = INTERACTIONS[N_TRAIN:]
    is_history = test["user"].str.startswith("new") & (test.groupby("user").cumcount() < 2)
    test[is_history].to_parquet(project.folder / "data/split/history.parquet", index=False)
    test[~is_history].to_parquet(project.folder / "data/split/test.parquet", index=False)
    project.run(fit, evaluate_on_test_set)
    evaluation = project.read_json("results/evaluation.json")
    state = read_files(project.folder / "models/algorithm_state")
    test[:0].to_parquet(project.folder / "data/split/history.parquet", index=False)
    project.run(fit)
    assert read_files(project.folder / "models/algorithm_state") == state, "histories are not trained on"
    assert evaluation["test_set"]["evaluated_newcomers"] == 4
    assert 0 <= evaluation["scores"]["recommender"]["newcomer_ndcg"] <= 1


def test_every_row_has_a_rated_ndcg_for_explicit_feedback(project: ServingProject) -> None:
    project.run(fit, evaluate_on_test_set)
    scores = project.read_json("results/evaluation.json")["scores"]
    assert all(0 <= score["rated_ndcg"] <= 1 for score in scores.values())
    assert not any("graded_ndcg" in score for score in scores.values())


def test_every_row_has_a_graded_ndcg_for_implicit_feedback(project: ServingProject) -> None:
    project.make_implicit()
    project.run(fit, evaluate_on_test_set)
    scores = project.read_json("results/evaluation.json")["scores"]
    assert all(0 <= score["graded_ndcg"] <= 1 for score in scores.values())
    assert not any("rated_ndcg" in score for score in scores.values())


def test_repeats_are_reported_apart(project: ServingProject, capsys: pytest.CaptureFixture[str]) -> None:
    project.write_repeats(INTERACTIONS[:20].assign(rating=np.float32(5.0)))
    project.run(fit, evaluate_on_test_set)
    evaluation = project.read_json("results/evaluation.json")
    repeats = evaluation["repeats"]
    assert (repeats["pairs"], evaluation["test_set"]["pairs"]) == (20, 42)
    in_test_part = pd.concat([INTERACTIONS[:20], INTERACTIONS[N_TRAIN:]])
    assert evaluation["test_set"]["users"] == in_test_part["user"].nunique()
    assert repeats["share"] == pytest.approx(20 / 62)
    assert repeats["users"] == INTERACTIONS["user"][:20].nunique()
    assert 0 <= repeats["recall"] <= repeats["hit_rate"] <= 1
    output = " ".join(capsys.readouterr().out.split())
    assert "Repeats, items that the user had before, are 20 of 62 held-out pairs (32%)" in output
    assert "set split.repeat to allow" in output


def test_repeats_are_not_reported_apart_if_they_are_in_the_test_set(
    project: ServingProject, capsys: pytest.CaptureFixture[str]
) -> None:
    project.write_json("data/split/split.json", {"strategy": "random", "repeat": "allow"})
    project.run(fit, evaluate_on_test_set)
    assert "repeats" not in project.read_json("results/evaluation.json")
    assert "Repeats" not in capsys.readouterr().out


def test_recommender_is_evaluated_on_users_that_were_left_out(
    project: ServingProject, capsys: pytest.CaptureFixture[str]
) -> None:
    project.run(fit, evaluate_on_test_set)
    result = project.read_json("results/evaluation.json")["strong_generalization"]
    assert result["users"] == round(0.1 * INTERACTIONS["user"].nunique())
    assert 1 <= result["evaluated_users"] <= result["users"]
    assert set(result["scores"]) == {"recommender", "popularity"}
    for score in result["scores"].values():
        assert 0 <= score["ndcg_low"] <= score["ndcg"] <= score["ndcg_high"] <= 1
    evaluated = f"Users who were left out of the training ({result['evaluated_users']} evaluated)"
    assert f"{evaluated}: EASE reaches NDCG@10" in capsys.readouterr().out


def test_recommender_without_fold_in_has_no_score_on_left_out_users(
    project: ServingProject, capsys: pytest.CaptureFixture[str]
) -> None:
    project.select({"algorithm": "slope_one", "parameters": {}, "trial": 3, "reason": "none"}, SVD)
    project.run(fit, evaluate_on_test_set)
    result = project.read_json("results/evaluation.json")["strong_generalization"]
    assert set(result["scores"]) == {"popularity"}
    assert "Slope One cannot recommend to users that it was not fitted with" in capsys.readouterr().out


def test_evaluation_is_complete_without_users_to_leave_out(
    project: ServingProject, capsys: pytest.CaptureFixture[str]
) -> None:
    only_dislikes = INTERACTIONS.assign(rating=np.float32(2.0))
    only_dislikes.to_parquet(project.folder / "data/interactions.parquet", index=False)
    project.run(fit, evaluate_on_test_set)
    evaluation = project.read_json("results/evaluation.json")
    assert set(evaluation["strong_generalization"]) == {"error"}
    assert "ndcg" in evaluation["scores"]["recommender"]
    assert "Lists for users without training were not measured: no user" in capsys.readouterr().out


def test_evaluation_has_the_same_bytes_when_it_runs_again(project: ServingProject) -> None:
    project.run(fit, evaluate_on_test_set)
    first = (project.folder / "results/evaluation.json").read_bytes()
    project.run(evaluate_on_test_set)
    assert (project.folder / "results/evaluation.json").read_bytes() == first


def test_second_choice_scored_on_a_test_set_is_reported(
    project: ServingProject, capsys: pytest.CaptureFixture[str]
) -> None:
    project.run(fit, evaluate_on_test_set, evaluate_on_test_set)
    assert "different choices" not in capsys.readouterr().out  # the same choice reveals nothing new
    project.select(POPULARITY, SVD)
    project.run(fit, evaluate_on_test_set)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("The recommender shows everybody the most popular items")
    assert lines[-1].startswith("2 different choices were scored on this test part")
    INTERACTIONS[N_TRAIN - 5 :].to_parquet(project.folder / "data/split/test.parquet", index=False)
    project.run(evaluate_on_test_set)
    assert "different choices" not in capsys.readouterr().out  # another test set


def test_recommender_worse_than_popularity_is_named(
    project: ServingProject, capsys: pytest.CaptureFixture[str]
) -> None:
    random = {"algorithm": "normal_predictor", "parameters": {}, "trial": 3, "reason": "none"}
    project.select(random, SVD)
    project.run(fit, evaluate_on_test_set)
    first_line = capsys.readouterr().out.splitlines()[0]
    assert first_line.startswith("The lists of Random are not shown to beat the most popular items")


def test_recipes_of_the_champion_are_refitted_and_scored(
    project: ServingProject, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tags = recipe_tags("recommender", Recipe("popularity", {}, 0)) | recipe_tags(
        "predictor", Recipe("svd", {}, 0)
    )
    monkeypatch.setattr(evaluate, "find_champion", lambda _: ModelVersion("marquee", 3, "0f0f", (), tags))
    project.run(fit, evaluate_on_test_set)
    champion, scores = (
        project.read_json(name) for name in (".marquee/champion.json", "results/evaluation.json")
    )
    assert champion["version"] == 3
    assert champion["ndcg"] == scores["scores"]["popularity"]["ndcg"]
    assert champion["rmse"] != scores["scores"]["predictor"]["rmse"]
    assert "champion v3, refitted" in capsys.readouterr().out


def test_champion_that_cannot_be_refitted_is_reported_and_left_out(
    project: ServingProject, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tags = recipe_tags("recommender", Recipe("forgotten", {}, 0))
    monkeypatch.setattr(evaluate, "find_champion", lambda _: ModelVersion("marquee", 3, "0f0f", (), tags))
    project.run(fit, evaluate_on_test_set)
    assert "Champion version 3 cannot be refitted" in capsys.readouterr().out
    assert not (project.folder / ".marquee/champion.json").exists()
