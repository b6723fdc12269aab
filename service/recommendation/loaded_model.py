"""A loaded model with all that is made from it once: the recommender, and the items as they are written."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from marquee.errors import ModelError
from marquee.model.fitted_model import FittedModel, load_model
from marquee.model.manifest import MANIFEST
from service.recommendation.availability import Policy
from service.recommendation.recommender import Answer, Recommender

PROVENANCE = "provenance.json"


@dataclass(frozen=True)
class Served:
    """What a request takes hold of when it begins, and keeps until it ends."""

    recommender: Recommender
    name: Mapping[str, Any]  # name, version and digest: part of every answer
    version: bytes  # the body of /version
    label: str  # of the version, in headers and events
    items: tuple[bytes, ...] = field(repr=False)  # of each item the JSON up to its score

    @property
    def model(self) -> FittedModel:
        """The model itself."""
        return self.recommender.model

    def body(self, user: str | None, answer: Answer) -> bytes:
        """An answer as JSON, put together from what is encoded already."""
        items = b",".join(
            self.items[item] + (b"null}" if score is None else b"%.4f}" % score)
            for item, score in answer.items
        )
        head = b'{"user":%b,"rung":"%b","items":[' % (_encoded(user), answer.rung.encode())
        tail = b'],"relaxed":%b,"model":%b}' % (_encoded(answer.relaxed), _encoded(self.name))
        return head + items + tail

    def ids(self, answer: Answer) -> list[str]:
        """Ids of an answer's items."""
        return [self.model.arrays.items[item] for item, _ in answer.items]

    def described(self, item: int) -> dict[str, Any]:
        """What is known of an item."""
        arrays = self.model.arrays
        genres = [genre for genre in arrays.genres[item].split("|") if genre]
        return {"item": arrays.items[item], "title": arrays.titles[item], "genres": genres}


def load(folder: Path, policy: Policy | None = None) -> Served:
    """Load a model for the routes, checked file by file.

    Raises:
        ModelError: the model is missing, foreign or damaged; the message names the file.
    """
    model = load_model(folder)
    provenance = _provenance(folder / PROVENANCE)
    if provenance.get("model_digest", model.digest) != model.digest:
        raise ModelError(f"{folder / MANIFEST} is not the one that was packaged: package the model again")
    return serve(model, provenance, policy)


def serve(model: FittedModel, provenance: Mapping[str, Any], policy: Policy | None) -> Served:
    """Make what the routes need of a model."""
    name = {
        "name": provenance.get("name"),
        "version": provenance.get("version"),
        "digest": model.digest[:12],
    }
    whole = {**asdict(model.manifest), "digest": model.digest, "provenance": provenance}
    label = str(provenance.get("version") or model.digest[:12])
    titled = zip(model.arrays.items, model.arrays.titles, strict=True)
    items = tuple(
        b'{"item":%b,"title":%b,"score":' % (_encoded(item), _encoded(title)) for item, title in titled
    )
    return Served(Recommender(model, policy), name, _encoded(whole), label, items)


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _encoded(tree: Any) -> bytes:
    return _encode(tree).encode()


def _provenance(stamped: Path) -> dict[str, Any]:
    """What packaging stamped beside the model: nothing, where it was not packaged."""
    try:
        provenance = json.loads(stamped.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ModelError(f"{stamped} cannot be read ({error}): package the model again") from None
    if not isinstance(provenance, dict):
        raise ModelError(f"{stamped} is no JSON object: package the model again")
    return provenance
