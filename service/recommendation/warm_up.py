"""Warm-up of a model: loads pages of its files and lazily imported modules before the first request."""

from service.recommendation.loaded_model import LoadedModel
from service.recommendation.recommender import RecommendationRequest, UserContext

LIST_LENGTH = 10
MAX_KNOWN_USERS = 100
ANY_RATING = 3.0  # its value does not matter: the recommendations are discarded


def warm_up(model: LoadedModel) -> None:
    """Use every fallback level, then discard the measured costs: first calls are slower than usual."""
    n_users, n_items = len(model.fitted_model.arrays.users), len(model.fitted_model.arrays.items)
    known_users = [UserContext(inner_id) for inner_id in range(min(n_users, MAX_KNOWN_USERS))]
    new_user = UserContext()
    is_explicit = model.fitted_model.manifest.feedback == "explicit"
    visitor = UserContext(recent={0: ANY_RATING if is_explicit else 1.0} if n_items else {})
    for user in (new_user, visitor, *known_users):
        recommendations = model.recommender.recommend(user, RecommendationRequest(LIST_LENGTH))
        model.encode_response("", recommendations)
    if known_users:
        stored_list = frozenset(item for item, _ in model.fitted_model.stored_list(0))
        model.recommender.recommend(known_users[0], RecommendationRequest(LIST_LENGTH, exclude=stored_list))
    model.recommender.costs.seconds.clear()
