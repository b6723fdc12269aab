"""FittedModel: written models load unchanged; errors about incomplete or damaged folders name the file."""

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest

from marquee.array_types import AnyArray
from marquee.errors import ModelError
from marquee.files.digest import sha256_of
from marquee.model.factor_scoring import FACTOR_ARRAYS, FactorSpace
from marquee.model.fitted_model import load_model, write_model
from marquee.model.history_weighting import HistoryWeighting
from marquee.model.manifest import MANIFEST_NAME
from marquee.model.model_arrays import SCORERS, ModelArrays
from marquee.model.rating_predictor import RatingPrediction
from marquee.model.scorers.confidence_factors import ConfidenceFactors
from marquee.model.scorers.item_weights import ItemWeights
from marquee.model.scorers.rating_factors import RatingFactors
from marquee.model.string_table import StringTable
from tests.support.manifest_fields import (
    EASE_RECIPE,
    IMPLICIT_FIELDS,
    MANIFEST_FIELDS,
    SEPARATE_FIELDS,
    SVD_RECIPE,
)
from tests.support.model_builder import build_small_model_arrays

SPACE = FactorSpace.from_parameters(
    (np.arange(8.0).reshape(4, 2), np.arange(4.0)),
    (np.array([[1.0, 0], [0, 1]]), np.zeros(2)),
    3.5,
    0.8,
)
ITEM_WEIGHTS = ItemWeights(
    weight_items=np.array([[1, 2], [0, 2], [0, 3], [1, 2]], dtype=np.int32),
    item_weights=np.array([[0.5, 0.25], [0.5, 0.1], [0.25, 0.1], [0.2, 0.3]], dtype=np.float32),
    weighting=HistoryWeighting("binary", bound=4.0),
)
# Ann rated a and b and has a stored list of two; Zoë rated every item, so her list is empty.
ARRAYS = replace(
    build_small_model_arrays(
        {"ann": ([0, 1], [3, 2]), "zoë": ([0, 1, 2, 3], [])},
        ["a", "b", "c", "d"],
        titles=["Alien", "Amélie", "七人の侍", ""],
        genres=["Horror", "Comedy|Romance", "", "Drama"],
        similar={0: [1, 2]},
        recommender=ITEM_WEIGHTS,
        predictor=RatingFactors(SPACE),
    ),
    top_scores=np.array([[4.5, 4.0], [np.nan, np.nan]], dtype=np.float32),
)
FILES = (
    "genres_offsets", "genres_text", "group_items", "items_offsets", "items_text", "popular_counts",
    "popular_items", "recommender_item_weights", "recommender_weight_items", "seen_indptr", "seen_items",
    "seen_values", "similar_items", "similarities", "titles_offsets", "titles_text", "top_items",
    "top_scores", "users_keys", "users_offsets", "users_order", "users_text",
    *(f"predictor_{name}" for name in FACTOR_ARRAYS),
)  # fmt: skip


def get_array(name: str) -> AnyArray:
    """Return an array of `ARRAYS` or of one of its stored scorers."""
    attribute, _, rest = name.partition("_")
    array: AnyArray = (
        getattr(ARRAYS, attribute).arrays()[rest] if attribute in SCORERS else getattr(ARRAYS, name)
    )
    return array


def replace_array(name: str, array: AnyArray) -> ModelArrays:
    """Return `ARRAYS` with one array replaced."""
    attribute, _, rest = name.partition("_")
    replacement: dict[str, Any] = {name if attribute not in SCORERS else rest: array}
    if attribute == "predictor":
        return replace(ARRAYS, predictor=RatingFactors(replace(SPACE, **replacement)))
    if attribute == "recommender":
        return replace(ARRAYS, recommender=replace(ITEM_WEIGHTS, **replacement))
    return replace(ARRAYS, **replacement)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Folder of a written model."""
    write_model(tmp_path / "model", ARRAYS, MANIFEST_FIELDS)
    return tmp_path / "model"


def forge_manifest(folder: Path, **changes: object) -> None:
    """Change fields of the manifest, and replace its digests by those of the present files."""
    path = folder / MANIFEST_NAME
    tree = json.loads(path.read_text())
    tree["files"] = {file.name: sha256_of(file) for file in folder.glob("*.npy")}
    path.write_text(json.dumps({**tree, **changes}))


def loading_error(folder: Path) -> str:
    """Return the one-line message with which loading fails."""
    with pytest.raises(ModelError) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_loaded_model_equals_written_model(folder: Path) -> None:
    model = load_model(folder)
    for name in ("users", "items", "titles", "genres"):
        assert list(getattr(model.arrays, name)) == list(getattr(ARRAYS, name))
    for name in (
        "top_items",
        "top_scores",
        "seen_values",
        "popular_items",
        "popular_counts",
        "similar_items",
        "group_items",
    ):
        np.testing.assert_array_equal(getattr(model.arrays, name), getattr(ARRAYS, name))
    for attribute in SCORERS:
        loaded, written = getattr(model.arrays, attribute), getattr(ARRAYS, attribute)
        assert type(loaded) is type(written)
        assert loaded.constants() == written.constants()
        for name, array in written.arrays().items():
            np.testing.assert_array_equal(loaded.arrays()[name], array)
    assert model.manifest.scorers["predictor"] == {"kind": "rating_factors", "offset": 3.5, "noise": 0.8}
    assert model.manifest.recommender == model.manifest.predictor == SVD_RECIPE
    assert model.manifest.scale == (1.0, 5.0)
    assert model.manifest.counts == {"users": 2, "items": 4, "interactions": 6, "top_n": 2}


def test_arrays_are_memory_mapped_and_read_only(folder: Path) -> None:
    model = load_model(folder)
    assert isinstance(model.arrays.top_items.base, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        model.arrays.top_items[0, 0] = 1


def test_known_user_has_stored_list_and_seen_items(folder: Path) -> None:
    model = load_model(folder)
    ann = model.inner_user_id("ann")
    assert ann == 0
    assert model.stored_list(ann) == [(3, 4.5), (2, 4.0)]
    assert model.seen_items(ann) == {0, 1}
    assert model.recommend("ann", 1) == ["d"]


def test_padding_is_not_recommended(folder: Path) -> None:
    assert load_model(folder).stored_list(1) == []


def test_short_stored_list_is_filled_up_with_popular_items(tmp_path: Path) -> None:
    """Ann has seen a and b, so c is the most popular of the others."""
    arrays = replace(ARRAYS, top_items=np.array([[3, -1], [-1, -1]], dtype=np.int32))
    write_model(tmp_path / "model", arrays, MANIFEST_FIELDS)
    model = load_model(tmp_path / "model")
    assert model.recommend("ann", 5) == ["d", "c"]
    assert model.recommend("zoë", 5) == []


def test_unknown_user_gets_popular_items(folder: Path) -> None:
    model = load_model(folder)
    assert model.inner_user_id("nobody") is None
    assert model.recommend("nobody", 3) == ["a", "b", "c"]
    assert list(model.popular_items()) == [(0, 2), (1, 2), (2, 1), (3, 1)]


WITHOUT_SCORERS = replace(ARRAYS, recommender=None, predictor=None)


def test_scorers_are_optional(tmp_path: Path) -> None:
    write_model(tmp_path / "model", WITHOUT_SCORERS, MANIFEST_FIELDS)
    model = load_model(tmp_path / "model")
    assert model.arrays.recommender is None
    assert model.arrays.predictor is None
    assert model.scorer is None
    assert not list((tmp_path / "model").glob("recommender_*"))


def test_constants_of_confidence_factors_are_restored(tmp_path: Path) -> None:
    stored = ConfidenceFactors(SPACE, 2.0, HistoryWeighting("log"))
    write_model(tmp_path / "model", replace(ARRAYS, recommender=stored), MANIFEST_FIELDS)
    restored = load_model(tmp_path / "model").arrays.recommender
    assert isinstance(restored, ConfidenceFactors)
    assert (restored.alpha, restored.weighting) == (2.0, HistoryWeighting("log"))


def test_shared_recipe_predicts_with_the_factors_of_the_recommender(tmp_path: Path) -> None:
    write_model(
        tmp_path / "model", replace(WITHOUT_SCORERS, recommender=RatingFactors(SPACE)), MANIFEST_FIELDS
    )
    model = load_model(tmp_path / "model")
    assert not list((tmp_path / "model").glob("predictor_*"))
    # Ann has the factors (1, 0); item b has the factors (2, 3) and the bias 1: 3.5 + 1 + 2, clipped to 5.
    assert model.predict_rating("ann", "b") == RatingPrediction(5.0, was_impossible=False)
    assert model.predict_rating("ann", "a") == RatingPrediction(3.5, was_impossible=False)


def test_separate_predictor_predicts_with_its_own_factors(tmp_path: Path) -> None:
    arrays = replace(WITHOUT_SCORERS, recommender=ITEM_WEIGHTS, predictor=RatingFactors(SPACE))
    write_model(tmp_path / "model", arrays, SEPARATE_FIELDS)
    model = load_model(tmp_path / "model")
    assert (model.manifest.recommender, model.manifest.predictor) == (EASE_RECIPE, SVD_RECIPE)
    assert model.predict_rating("ann", "a").rating == 3.5
    assert model.predict_rating("ann", "no such item") == RatingPrediction(3.5, was_impossible=True)
    assert model.predict_rating("nobody", "a") == RatingPrediction(3.5, was_impossible=True)


def test_predictor_that_is_no_factor_model_predicts_the_global_mean(tmp_path: Path) -> None:
    write_model(tmp_path / "model", WITHOUT_SCORERS, SEPARATE_FIELDS)
    prediction = load_model(tmp_path / "model").predict_rating("ann", "a")
    assert prediction == RatingPrediction(3.5, was_impossible=True)


def test_model_of_implicit_feedback_predicts_no_ratings(tmp_path: Path) -> None:
    write_model(tmp_path / "model", WITHOUT_SCORERS, IMPLICIT_FIELDS)
    model = load_model(tmp_path / "model")
    assert model.predictor is None
    with pytest.raises(ModelError, match="trained on implicit feedback, so there are no ratings to predict"):
        model.predict_rating("ann", "a")


@pytest.mark.parametrize(
    ("agreement", "is_personal"), [(None, True), (0.9, True), (0.91, False), (1.0, False)]
)
def test_model_is_personal_unless_lists_agree(
    tmp_path: Path, agreement: float | None, is_personal: bool
) -> None:
    manifest = write_model(tmp_path, ARRAYS, {**MANIFEST_FIELDS, "list_agreement": agreement})
    assert manifest.is_personal == is_personal


def test_model_without_users_is_written_and_loaded(tmp_path: Path) -> None:
    arrays = replace(
        ARRAYS,
        users=StringTable.from_strings([]),
        top_items=np.zeros((0, 2), np.int32),
        top_scores=np.zeros((0, 2), np.float32),
        seen_indptr=np.zeros(1, np.int64),
        seen_items=np.zeros(0, np.int32),
        seen_values=np.zeros(0, np.float32),
        recommender=None,
        predictor=None,
    )
    write_model(tmp_path / "model", arrays, MANIFEST_FIELDS)
    assert load_model(tmp_path / "model").inner_user_id("ann") is None


def test_equal_models_have_equal_bytes_and_digests(folder: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "copy", ARRAYS, MANIFEST_FIELDS)
    assert (tmp_path / "copy" / MANIFEST_NAME).read_bytes() == (folder / MANIFEST_NAME).read_bytes()
    assert load_model(tmp_path / "copy").digest == load_model(folder).digest


def test_digest_is_that_of_the_manifest_file(folder: Path) -> None:
    assert load_model(folder).digest == sha256_of(folder / MANIFEST_NAME)


def test_changed_score_changes_the_digest(folder: Path, tmp_path: Path) -> None:
    scores = ARRAYS.top_scores.copy()
    scores[0, 0] += 0.25
    write_model(tmp_path / "other", replace(ARRAYS, top_scores=scores), MANIFEST_FIELDS)
    assert load_model(tmp_path / "other").digest != load_model(folder).digest


def test_writing_again_replaces_the_whole_folder(folder: Path) -> None:
    write_model(folder, WITHOUT_SCORERS, MANIFEST_FIELDS)
    assert load_model(folder).arrays.recommender is None
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_failed_write_keeps_the_old_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def raise_disk_full(*args: object, **kwargs: object) -> None:
        raise OSError("no space left on device")

    before = load_model(folder).digest
    monkeypatch.setattr(np, "save", raise_disk_full)
    with pytest.raises(OSError, match="no space"):
        write_model(folder, ARRAYS, MANIFEST_FIELDS)
    assert load_model(folder).digest == before
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_folder_without_manifest_is_rejected(folder: Path) -> None:
    (folder / MANIFEST_NAME).unlink()
    assert MANIFEST_NAME in loading_error(folder)


def test_missing_folder_is_rejected(tmp_path: Path) -> None:
    assert "missing-folder" in loading_error(tmp_path / "missing-folder")


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "\0", '{"schema_version": 99}'])
def test_invalid_manifest_is_rejected(folder: Path, content: str) -> None:
    (folder / MANIFEST_NAME).write_text(content)
    assert MANIFEST_NAME in loading_error(folder)


def test_other_schema_version_is_rejected(folder: Path) -> None:
    forge_manifest(folder, schema_version=99)
    assert "schema version 99, expected 5" in loading_error(folder)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("scale", 5),
        ("scale", [1]),
        ("scale", ["1", "5"]),
        ("files", 1),
        ("counts", []),
        ("recommender", None),
        ("recommender", {"algorithm": "svd"}),
        ("predictor", "svd"),
        ("feedback", "stars"),
        ("feedback", ["explicit"]),
        ("global_mean", "3"),
        ("score_unit", None),
        ("list_agreement", "1"),
        ("repeats_allowed", 0),
        ("feedback_weights", {"click": 1}),
        ("trained_until", "now"),
        ("scale", None),
        ("scorers", {"predictor": {"kind": "rating_factors", "offset": 3.5, "noise": None}}),
        ("scorers", {"recommender": {"kind": "item_weights", "weighting": {"name": "cubic"}}}),
        ("scorers", {"recommender": {"kind": "confidence_factors", "alpha": 1}}),
        ("scorers", {"recommender": {"kind": "unknown"}}),
        ("scorers", {"recommender": {}}),
        ("scorers", {"unknown": {"kind": "rating_factors", "offset": 3.5, "noise": 1.0}}),
        ("new", 1),
    ],
)
def test_invalid_field_of_manifest_is_named(folder: Path, field: str, value: object) -> None:
    forge_manifest(folder, **{field: value})
    message = loading_error(folder)
    assert MANIFEST_NAME in message
    assert field in message.partition("field")[2]


@pytest.mark.parametrize("name", FILES)
def test_changed_file_is_rejected(folder: Path, name: str) -> None:
    path = folder / f"{name}.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert f"{name}.npy" in loading_error(folder)


@pytest.mark.parametrize("name", FILES)
def test_missing_file_is_rejected(folder: Path, name: str) -> None:
    (folder / f"{name}.npy").unlink()
    assert f"{name}.npy is missing" in loading_error(folder)


def test_truncated_file_is_rejected(folder: Path) -> None:
    path = folder / "top_scores.npy"
    path.write_bytes(path.read_bytes()[:-3])
    assert "top_scores.npy" in loading_error(folder)


def test_file_that_is_not_in_the_manifest_is_rejected(folder: Path) -> None:
    np.save(folder / "extra.npy", np.zeros(1))
    assert "extra.npy" in loading_error(folder)


@pytest.mark.parametrize("name", FILES)
def test_truncated_file_is_rejected_despite_forged_manifest(folder: Path, name: str) -> None:
    path = folder / f"{name}.npy"
    path.write_bytes(path.read_bytes()[:60])
    forge_manifest(folder)
    assert f"{name}.npy" in loading_error(folder)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("top_items", (3, 2)),
        ("top_items", (2,)),
        ("top_scores", (2, 3)),
        ("popular_items", (3,)),
        ("seen_indptr", (4,)),
        ("predictor_item_factors", ()),
        ("predictor_item_biases", (4, 1)),
        ("predictor_user_factors", (2, 3)),
        ("predictor_prior_covariance", (2, 2)),
        ("similar_items", (3, 2)),
        ("similarities", (4, 3)),
        ("predictor_item_factors", (3, 2)),
        ("predictor_user_biases", (4,)),
        ("recommender_weight_items", (3, 2)),
        ("recommender_item_weights", (4, 3)),
        ("seen_values", (5,)),
    ],
)
def test_inconsistent_shape_is_rejected_on_write_and_load(
    folder: Path, tmp_path: Path, name: str, shape: tuple[int, ...]
) -> None:
    array = np.zeros(shape, dtype=get_array(name).dtype)
    with pytest.raises(ModelError, match="does not fit"):
        write_model(tmp_path / "other", replace_array(name, array), MANIFEST_FIELDS)
    assert not (tmp_path / "other").exists()
    np.save(folder / f"{name}.npy", array)
    forge_manifest(folder)
    assert "does not fit" in loading_error(folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("top_items", 4),
        ("top_items", -2),
        ("popular_items", -1),
        ("seen_items", 4),
        ("similar_items", 9),
        ("group_items", 4),
        ("users_order", 2),
        ("seen_indptr", 7),
        ("predictor_item_factors", np.nan),
        ("users_offsets", 99),
        ("predictor_user_factors", np.inf),
        ("recommender_weight_items", 4),
        ("recommender_weight_items", -1),
        ("recommender_item_weights", np.nan),
        ("seen_values", np.inf),
    ],
)
def test_value_out_of_range_is_rejected(folder: Path, name: str, value: float) -> None:
    path = folder / f"{name}.npy"
    array = np.load(path)
    array.flat[-1] = value
    np.save(path, array)
    forge_manifest(folder)
    assert path.name in loading_error(folder)


@pytest.mark.parametrize("name", FILES)
def test_wrong_dtype_is_rejected(folder: Path, name: str) -> None:
    path = folder / f"{name}.npy"
    np.save(path, np.load(path).astype(np.complex128))
    forge_manifest(folder)
    assert path.name in loading_error(folder)


class MaliciousPickle:
    """Object that creates a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[..., IO[Any]], tuple[str, str]]:
        return open, (str(self.target), "w")


@pytest.mark.parametrize("has_forged_digest", [False, True], ids=["wrong digest", "forged digest"])
@pytest.mark.parametrize("kind", ["pickle", "object array"])
@pytest.mark.parametrize("name", FILES)
def test_loading_never_unpickles(folder: Path, name: str, kind: str, has_forged_digest: bool) -> None:
    target, path = folder.parent / "created", folder / f"{name}.npy"
    if kind == "pickle":
        path.write_bytes(pickle.dumps(MaliciousPickle(target)))
    else:
        np.save(path, np.array([MaliciousPickle(target)], dtype=object), allow_pickle=True)
    if has_forged_digest:
        forge_manifest(folder)
    assert path.name in loading_error(folder)
    assert not target.exists()


def test_malicious_pickle_creates_a_file_when_unpickled(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(MaliciousPickle(tmp_path / "created"))).close()
    assert (tmp_path / "created").exists()
