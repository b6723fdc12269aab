"""Figure of the recommender's selection."""

from matplotlib.figure import Figure

from experiments.figures.recommender_losses import MAX_ROWS, plot_recommender_losses, shown_contenders
from experiments.selection.recommender_rule import RecommenderChoice, choose_recommender
from tests.support.recommender_trials import make_trials


def choose(means: list[float], rated: list[float] | None = None, n_users: int = 300) -> RecommenderChoice:
    return choose_recommender(make_trials(means, rated=rated, n_users=n_users), "explicit", 0.01)


def texts_of(figure: Figure) -> list[str]:
    (axes,) = figure.axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    return labels + [text.get_text() for text in axes.texts if text.get_text()]


def test_rows_are_the_trials_near_the_leader_best_first() -> None:
    figure = plot_recommender_losses(choose([0.29, 0.30, 0.20, 0.299]), ["a", "b", "c", "d"], "NDCG@10")
    assert texts_of(figure) == ["b (chosen)", "d", "a", "margin, 1%"]


def test_winner_is_shown_even_if_many_trials_are_better() -> None:
    n = MAX_ROWS + 5
    choice = choose([0.3 - 1e-5 * k for k in range(n)], [0.8] * (n - 1) + [0.9])
    assert [contender.trial for contender in shown_contenders(choice)] == [*range(MAX_ROWS), n - 1]


def test_trials_without_a_bound_are_marked() -> None:
    figure = plot_recommender_losses(choose([0.3, 0.29], n_users=50), ["a", "b"], "NDCG@10")
    assert "b (too few users for a bound)" in texts_of(figure)
