"""The paragraph of the choice says why, what was given up and what was gained, and nothing that varies."""

from dataclasses import replace
from typing import Any

from experiments.config.offline import Select
from experiments.selection.explanation import explain
from experiments.selection.rule import choose
from experiments.selection.search_results import Findings
from tests.support.search_results import findings


def told(found: Findings, **changes: Any) -> str:
    block = {"objective": "rmse", "rule": "best", "cheaper": "model_bytes"}
    limits = {"max_fit_seconds": 10, "max_model_megabytes": 10}
    select = Select.model_validate({**block, **limits, **changes})
    return explain(choose(found, select), found, select)


def test_it_names_the_winner_its_interval_and_how_far_ahead_it_is() -> None:
    # s = 0.01 over three folds: 4.3027 * 0.01 * sqrt(1/3 + 1/2) = 0.0393; differences are the same on all
    text = told(findings())
    assert text.startswith(
        "SVD++ (n_factors=20, n_epochs=20) wins with RMSE 0.8600 (95%: 0.8207 to 0.8993), "
        "0.0200 (95%: 0.0200 to 0.0200) better than the next algorithm, SVD (n_factors=100, reg_all=0.02); "
        "7 trials took part."
    )


def test_it_names_what_others_are_better_in_but_never_random_guesses() -> None:
    assert (
        "It gives up NDCG@10 (0.0400 against 0.0500 of SVD), coverage (20.0% against 30.0% of SVD) and size "
        "(5.00 MB against 0.10 MB of Baseline)." in told(findings())
    )


def test_it_tells_what_searching_gained_over_defaults() -> None:
    assert (
        "Against default parameters the search gained 0.0020 (95%: 0.0020 to 0.0020) in the RMSE of it, "
        "0.0030 on average over 4 candidates, most for SVD, 0.0100." in told(findings())
    )


def test_a_grid_worse_than_the_defaults_is_told_as_a_loss() -> None:
    found = findings()
    worse = {4: replace(found.measured[4], defaults=(0.84, 0.85, 0.86))}
    text = told(replace(found, measured={**found.measured, **worse}))
    assert "the search lost 0.0100 (95%: 0.0100 to 0.0100) (its grid leaves the defaults out)" in text


def test_the_gain_is_that_of_the_very_trial_that_won() -> None:
    found = findings()
    second = replace(
        found.measured[0], trial=1, defaults=tuple(v + 0.5 for v in found.trials[1].values("rmse"))
    )
    told_of = told(replace(found, measured={**found.measured, 1: second}), max_model_megabytes=3)
    assert told_of.startswith("SVD (n_factors=50, reg_all=0.02) wins")
    assert "the search gained 0.5000" in told_of


def test_a_cheaper_winner_says_what_it_was_preferred_to() -> None:
    text = told(findings(), rule="one_standard_error", max_model_megabytes=4)
    # 0.88 + 0.01 / sqrt(3) = 0.8858 leaves only the first SVD
    assert text.startswith("SVD (n_factors=100, reg_all=0.02) wins")
    assert "was better and over budget." in text
    found = findings()
    near = replace(found.trials[1], folds=found.trials[0].folds, number=1)
    smaller = replace(
        near, folds=tuple(replace(f, rmse=f.rmse + 0.001, model_bytes=2_000_000) for f in near.folds)
    )
    text = told(
        replace(found, trials=[found.trials[0], smaller, *found.trials[2:]]),
        rule="one_standard_error", max_model_megabytes=4,
    )  # fmt: skip
    assert (
        "It is preferred to SVD (n_factors=100, reg_all=0.02), which is 0.0010 better: that is within one "
        "standard error, and it takes 2.00 MB instead of 4.00 MB." in text
    )


def test_a_weighted_objective_is_told_with_its_weights() -> None:
    text = told(findings(), objective={"ndcg": 0.7, "rmse": 0.3})
    assert text.startswith(
        "SVD (n_factors=100, reg_all=0.02) wins by NDCG@10 0.7, RMSE 0.3; its NDCG@10 is 0.0500"
    )
    assert "0.0100 (95%: 0.0100 to 0.0100) better than the next algorithm, SVD++" in text


def test_a_difference_that_may_be_chance_is_called_so() -> None:
    found = findings()
    folds = tuple(
        replace(f, rmse=f.rmse + d) for f, d in zip(found.trials[4].folds, (0.03, -0.01, 0.02), strict=True)
    )
    trials = [*found.trials[:4], replace(found.trials[4], folds=folds), *found.trials[5:]]
    assert "which the folds cannot tell from nothing" in told(replace(found, trials=trials))


def test_it_holds_no_times() -> None:
    found = findings()
    slower = {n: replace(one, cost=None) for n, one in found.measured.items()}
    assert told(replace(found, measured=slower)) == told(found)
