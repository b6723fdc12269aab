"""A model prepared for serving: its recommender, and parts of responses that are encoded in advance."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from marquee.errors import ModelError
from marquee.model.fitted_model import FittedModel, load_model
from marquee.model.item_attributes import decode_item, split_values
from marquee.model.manifest import MANIFEST_NAME
from service.recommendation.recommender import Recommendations, Recommender, UserContext
from service.recommendation.shop_rules import ShopRules
from service.recommendation.user_context import DEFAULT_WEIGHTS

PROVENANCE = "provenance.json"


@dataclass(frozen=True)
class LoadedModel:
    """A model that is being served. A request uses one model from start to end, even if it is replaced."""

    recommender: Recommender
    summary: Mapping[str, Any]  # name, version, digest and algorithms, part of every response
    version_body: bytes  # response body of GET /version
    version: str  # registered version, or else the digest; used in headers and events
    ids: tuple[str, ...] = field(repr=False)  # item ids, by inner id
    item_prefixes: tuple[bytes, ...] = field(repr=False)  # JSON object of each item up to its score
    response_end: bytes = field(repr=False)  # score unit and summary, which end every list response

    @classmethod
    def load(cls, folder: Path, rules: ShopRules | None = None) -> "LoadedModel":
        """Read a model folder and verify every file.

        Raises:
            ModelError: the model is missing, damaged or of another schema; the message names the file.
        """
        model = load_model(folder)
        provenance = _read_provenance(folder / PROVENANCE)
        if provenance.get("model_digest", model.digest) != model.digest:
            raise ModelError(
                f"{folder / MANIFEST_NAME} is not the manifest that was packaged; package the model again"
            )
        return cls.from_fitted_model(model, provenance, rules)

    @classmethod
    def from_fitted_model(
        cls, model: FittedModel, provenance: Mapping[str, Any], rules: ShopRules | None
    ) -> "LoadedModel":
        """Prepare a model for serving.

        Args:
            model: the model to serve.
            provenance: content of `provenance.json`; empty if the model was not packaged.
            rules: rules of the shop; None: all items are available, in the order of the recommender.
        """
        manifest, version, short_digest = model.manifest, provenance.get("version"), model.digest[:12]
        summary = {
            "name": provenance.get("name"),
            "version": version,
            "digest": short_digest,
            "recommender": manifest.recommender.algorithm,
            "predictor": None if manifest.predictor is None else manifest.predictor.algorithm,
        }
        titles = zip(model.arrays.items, model.arrays.titles, strict=True)
        return cls(
            recommender=Recommender(model, rules),
            summary=summary,
            version_body=_encode({**asdict(manifest), "digest": model.digest, "provenance": provenance}),
            version=str(version or short_digest),
            ids=tuple(model.arrays.items),
            item_prefixes=tuple(
                b'{"item":%b,"title":%b,"score":' % (_encode(item), _encode(title)) for item, title in titles
            ),
            response_end=b'"score_unit":%b,"model":%b}' % (_encode(manifest.score_unit), _encode(summary)),
        )

    @property
    def fitted_model(self) -> FittedModel:
        """The model itself: arrays, manifest and id index."""
        return self.recommender.model

    @property
    def click_weight(self) -> float | None:
        """Weight of a click in training; None if the model was trained on ratings."""
        manifest = self.fitted_model.manifest
        if manifest.feedback == "explicit":
            return None
        return (manifest.feedback_weights or DEFAULT_WEIGHTS).click

    def encode_response(
        self,
        user: str | None,
        recommendations: Recommendations,
        predicted_ratings: Sequence[float | None] | None = None,
    ) -> bytes:
        """Encode recommendations as a JSON response body, mostly from parts encoded in advance.

        Args:
            user: user id; None for a visitor.
            recommendations: recommended items.
            predicted_ratings: ratings to add to them, in stars; None where a prediction is impossible.
        """
        if predicted_ratings is None:
            items = b",".join(
                self.item_prefixes[item] + (b"null}" if score is None else b"%.4f}" % score)
                for item, score in recommendations.items
            )
        else:
            items = self._encode_rated_items(recommendations, predicted_ratings)
        level = recommendations.fallback_level.encode()
        head = b'{"user":%b,"fallback_level":"%b","items":[' % (_encode(user), level)
        tail = b'],"relaxed_filters":%b,%b' % (_encode(recommendations.relaxed_filters), self.response_end)
        return head + items + tail

    def _encode_rated_items(
        self, recommendations: Recommendations, predicted_ratings: Sequence[float | None]
    ) -> bytes:
        return b",".join(
            self.item_prefixes[item]
            + b'%b,"predicted_rating":%b}' % (_encode_score(score), _encode_score(rating))
            for (item, score), rating in zip(recommendations.items, predicted_ratings, strict=True)
        )

    def predict_ratings(
        self, user: UserContext, recommendations: Recommendations
    ) -> list[float | None] | None:
        """Return the predicted ratings of recommended items, or None if the model has no predictor."""
        predictor = self.fitted_model.predictor
        if predictor is None:
            return None
        items = [item for item, _ in recommendations.items]
        return predictor.predict_items(user.inner_id, items, user.ratings)

    def item_ids(self, recommendations: Recommendations) -> list[str]:
        """Return the ids of the recommended items."""
        return [self.ids[item] for item, _ in recommendations.items]

    def describe_item(self, item: int) -> dict[str, Any]:
        """Return the id, title, genres and further attributes of an item."""
        arrays = self.fitted_model.arrays
        return {
            "item": arrays.items[item],
            "title": arrays.titles[item],
            "genres": split_values(arrays.genres[item]),
            "attributes": {} if arrays.attributes is None else decode_item(arrays.attributes[item]),
        }


def _encode_score(score: float | None) -> bytes:
    return b"null" if score is None else b"%.4f" % score


_encode_text = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _encode(value: Any) -> bytes:
    return _encode_text(value).encode()


def _read_provenance(path: Path) -> dict[str, Any]:
    """Read the provenance that packaging writes next to the model; empty if the model was not packaged."""
    try:
        provenance = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}); package the model again") from None
    if not isinstance(provenance, dict):
        raise ModelError(f"{path} must contain a JSON object; package the model again")
    return provenance
