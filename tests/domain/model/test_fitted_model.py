"""FittedModel: what was written comes back, and a folder that is not whole is refused, by name."""

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marquee.errors import ModelError
from marquee.files.digest import sha256_of
from marquee.model.arrays import FACTORS, ModelArrays
from marquee.model.factor_space import FactorSpace
from marquee.model.fitted_model import load_model, write_model
from marquee.model.manifest import MANIFEST
from marquee.model.string_table import StringTable
from tests.support.models import small_arrays
from tests.support.openapi_checks import DESCRIPTION

# Ann rated a and b, and has a list of two; Zoë rated everything, so her list is empty.
ARRAYS = replace(
    small_arrays(
        {"ann": ([0, 1], [3, 2]), "zoë": ([0, 1, 2, 3], [])},
        ["a", "b", "c", "d"],
        titles=["Alien", "Amélie", "七人の侍", ""],
        genres=["Horror", "Comedy|Romance", "", "Drama"],
        similar={0: [1, 2]},
        factors=FactorSpace.of(
            (np.arange(8.0).reshape(4, 2), np.arange(4.0)),
            (np.array([[1.0, 0], [0, 1]]), np.zeros(2)),
            3.5,
            0.8,
        ),
    ),
    top_scores=np.array([[4.5, 4.0], [np.nan, np.nan]], dtype=np.float32),
)
FILES = (
    "genres_offsets", "genres_text", "item_biases", "item_factors", "items_offsets", "items_text",
    "popular_counts", "popular_items", "prior_covariance", "prior_mean", "seen_indptr", "seen_items",
    "similar_items", "similarities", "taste_items", "titles_offsets", "titles_text", "top_items",
    "top_scores", "user_biases", "user_factors", "users_keys", "users_offsets", "users_order", "users_text",
)  # fmt: skip


def array_of(name: str) -> Any:
    """One array of ARRAYS, of its factors too."""
    return getattr(ARRAYS.factors if name in FACTORS else ARRAYS, name)


def arrays_with(name: str, array: Any) -> ModelArrays:
    """ARRAYS with one array exchanged."""
    if name not in FACTORS:
        return replace(ARRAYS, **{name: array})
    assert ARRAYS.factors is not None
    return replace(ARRAYS, factors=replace(ARRAYS.factors, **{name: array}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_model(tmp_path / "model", ARRAYS, DESCRIPTION)
    return tmp_path / "model"


def edit_manifest(folder: Path, **changes: Any) -> None:
    """Forge a manifest: fields changed, and every file's digest as it is now."""
    path = folder / MANIFEST
    tree = json.loads(path.read_text())
    tree["files"] = {file.name: sha256_of(file) for file in folder.glob("*.npy")}
    path.write_text(json.dumps({**tree, **changes}))


def refusal(folder: Path) -> str:
    """The one line with which a folder is refused."""
    with pytest.raises(ModelError) as refused:
        load_model(folder)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_what_was_written_comes_back(folder: Path) -> None:
    model = load_model(folder)
    for name in ("users", "items", "titles", "genres"):
        assert list(getattr(model.arrays, name)) == list(getattr(ARRAYS, name))
    for name in (
        "top_items",
        "top_scores",
        "popular_items",
        "popular_counts",
        "similar_items",
        "taste_items",
    ):
        np.testing.assert_array_equal(getattr(model.arrays, name), getattr(ARRAYS, name))
    assert model.arrays.factors is not None
    for name in FACTORS:
        np.testing.assert_array_equal(getattr(model.arrays.factors, name), getattr(ARRAYS.factors, name))
    assert model.manifest.factors == {"offset": 3.5, "noise": 0.8}
    assert model.manifest.algorithm == "svd"
    assert model.manifest.scale == (1.0, 5.0)
    assert model.manifest.counts == {"users": 2, "items": 4, "ratings": 6, "top_n": 2}


def test_arrays_are_mapped_and_cannot_be_written(folder: Path) -> None:
    model = load_model(folder)
    assert isinstance(model.arrays.top_items, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        model.arrays.top_items[0, 0] = 1


def test_a_known_user_has_a_list_and_a_history(folder: Path) -> None:
    model = load_model(folder)
    ann = model.user_number("ann")
    assert ann == 0
    assert model.personal(ann) == [(3, 4.5), (2, 4.0)]
    assert model.seen(ann) == {0, 1}
    assert model.recommend("ann", 1) == ["d"]


def test_padding_is_no_recommendation(folder: Path) -> None:
    assert load_model(folder).personal(1) == []


def test_an_unknown_user_has_no_number_and_is_told_what_is_popular(folder: Path) -> None:
    model = load_model(folder)
    assert model.user_number("nobody") is None
    assert model.recommend("nobody", 3) == ["a", "b", "c"]
    assert list(model.popular()) == [(0, 2), (1, 2), (2, 1), (3, 1)]


def test_a_model_need_not_have_factors(tmp_path: Path) -> None:
    write_model(tmp_path / "model", replace(ARRAYS, factors=None), DESCRIPTION)
    assert load_model(tmp_path / "model").arrays.factors is None
    assert not (tmp_path / "model" / "item_factors.npy").exists()


def test_a_model_of_nobody_can_be_written_and_read(tmp_path: Path) -> None:
    nobody = replace(
        ARRAYS,
        users=StringTable.of([]),
        top_items=np.zeros((0, 2), np.int32),
        top_scores=np.zeros((0, 2), np.float32),
        seen_indptr=np.zeros(1, np.int64),
        seen_items=np.zeros(0, np.int32),
        factors=None,
    )
    write_model(tmp_path / "model", nobody, DESCRIPTION)
    assert load_model(tmp_path / "model").user_number("ann") is None


def test_the_same_content_is_the_same_bytes_and_digest(folder: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "elsewhere", ARRAYS, DESCRIPTION)
    assert (tmp_path / "elsewhere" / MANIFEST).read_bytes() == (folder / MANIFEST).read_bytes()
    assert load_model(tmp_path / "elsewhere").digest == load_model(folder).digest


def test_the_digest_is_that_of_the_manifest_file(folder: Path) -> None:
    assert load_model(folder).digest == sha256_of(folder / MANIFEST)


def test_another_score_is_another_digest(folder: Path, tmp_path: Path) -> None:
    scores = ARRAYS.top_scores.copy()
    scores[0, 0] += 0.25
    write_model(tmp_path / "other", replace(ARRAYS, top_scores=scores), DESCRIPTION)
    assert load_model(tmp_path / "other").digest != load_model(folder).digest


def test_writing_again_replaces_and_leaves_nothing_behind(folder: Path) -> None:
    write_model(folder, replace(ARRAYS, factors=None), DESCRIPTION)
    assert load_model(folder).arrays.factors is None
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_a_write_that_fails_leaves_the_old_model_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError("no space left on device")

    before = load_model(folder).digest
    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OSError, match="no space"):
        write_model(folder, ARRAYS, DESCRIPTION)
    assert load_model(folder).digest == before
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_a_folder_without_manifest_is_no_model(folder: Path) -> None:
    (folder / MANIFEST).unlink()
    assert MANIFEST in refusal(folder)


def test_a_missing_folder_is_no_model(tmp_path: Path) -> None:
    assert "nothing-here" in refusal(tmp_path / "nothing-here")


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "\0", '{"schema_version": 99}'])
def test_a_manifest_that_is_none_is_named(folder: Path, content: str) -> None:
    (folder / MANIFEST).write_text(content)
    assert MANIFEST in refusal(folder)


def test_another_schema_is_refused_with_both_versions(folder: Path) -> None:
    edit_manifest(folder, schema_version=99)
    assert "99" in refusal(folder)
    assert "reads 2" in refusal(folder)


@pytest.mark.parametrize("changes", [{"scale": 5}, {"scale": [1]}, {"files": 1}, {"counts": []}, {"new": 1}])
def test_a_manifest_with_other_fields_is_named(folder: Path, changes: dict[str, Any]) -> None:
    edit_manifest(folder, **changes)
    assert MANIFEST in refusal(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_changed_file_is_named(folder: Path, name: str) -> None:
    path = folder / f"{name}.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert f"{name}.npy" in refusal(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / f"{name}.npy").unlink()
    assert f"{name}.npy is missing" in refusal(folder)


def test_a_truncated_file_is_named(folder: Path) -> None:
    path = folder / "top_scores.npy"
    path.write_bytes(path.read_bytes()[:-3])
    assert "top_scores.npy" in refusal(folder)


def test_a_file_too_many_is_named(folder: Path) -> None:
    np.save(folder / "extra.npy", np.zeros(1))
    assert "extra.npy" in refusal(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_named_even_under_a_forged_manifest(folder: Path, name: str) -> None:
    path = folder / f"{name}.npy"
    path.write_bytes(path.read_bytes()[:60])
    edit_manifest(folder)
    assert f"{name}.npy" in refusal(folder)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("top_items", (3, 2)),
        ("top_items", (2,)),
        ("top_scores", (2, 3)),
        ("popular_items", (3,)),
        ("seen_indptr", (4,)),
        ("item_factors", (3, 2)),
        ("item_biases", (4, 1)),
        ("user_factors", (2, 3)),
        ("prior_covariance", (2, 2)),
        ("similar_items", (3, 2)),
        ("similarities", (4, 3)),
    ],
)
def test_shapes_that_disagree_are_refused_by_reader_and_writer(
    folder: Path, tmp_path: Path, name: str, shape: tuple[int, ...]
) -> None:
    wrong = np.zeros(shape, dtype=array_of(name).dtype)
    with pytest.raises(ModelError, match="does not fit"):
        write_model(tmp_path / "other", arrays_with(name, wrong), DESCRIPTION)
    assert not (tmp_path / "other").exists()
    np.save(folder / f"{name}.npy", wrong)
    edit_manifest(folder)
    assert "does not fit" in refusal(folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("top_items", 4),
        ("top_items", -2),
        ("popular_items", -1),
        ("seen_items", 4),
        ("similar_items", 9),
        ("taste_items", 4),
        ("users_order", 2),
        ("seen_indptr", 7),
        ("item_factors", np.nan),
        ("users_offsets", 99),
    ],
)
def test_numbers_that_point_nowhere_are_refused(folder: Path, name: str, value: float) -> None:
    path = folder / f"{name}.npy"
    array = np.load(path)
    array.flat[-1] = value
    np.save(path, array)
    edit_manifest(folder)
    assert path.name in refusal(folder)


@pytest.mark.parametrize("name", FILES)
def test_numbers_of_another_kind_are_refused(folder: Path, name: str) -> None:
    path = folder / f"{name}.npy"
    np.save(path, np.load(path).astype(np.complex128))
    edit_manifest(folder)
    assert path.name in refusal(folder)


class Poison:
    """Runs code when it is unpickled: it creates a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return open, (str(self.mark), "w")


@pytest.mark.parametrize("forged", [False, True], ids=["digest wrong", "digest forged"])
@pytest.mark.parametrize("kind", ["pickle", "object array"])
@pytest.mark.parametrize("name", FILES)
def test_a_poisoned_pickle_runs_nothing(folder: Path, name: str, kind: str, forged: bool) -> None:
    mark, path = folder.parent / "poisoned", folder / f"{name}.npy"
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Poison(mark)))
    else:
        np.save(path, np.array([Poison(mark)], dtype=object), allow_pickle=True)
    if forged:
        edit_manifest(folder)
    assert path.name in refusal(folder)
    assert not mark.exists()


def test_the_poison_would_work_if_it_were_loaded(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Poison(tmp_path / "poisoned"))).close()
    assert (tmp_path / "poisoned").exists()


@given(st.lists(st.text(st.characters(codec="utf-8"))))
def test_strings_come_back_from_their_table(strings: list[str]) -> None:
    table = StringTable.of(strings)
    assert list(table) == strings
    assert [table[number] for number in range(len(table))] == strings
    assert set(table.numbers()) == set(strings)


@pytest.mark.parametrize("index", [-1, 2])
def test_a_number_outside_the_table_is_an_error(index: int) -> None:
    with pytest.raises(IndexError):
        StringTable.of(["a", "b"])[index]
