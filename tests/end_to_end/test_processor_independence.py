"""Stages and rankers give the same bytes on every x86-64 processor, with any thread count and hash seed."""

import json
import os
import platform
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.support.params import ParamsChange

ROOT = Path(__file__).parents[2]
# Instruction sets that NumPy uses if the processor has them.
NUMPY_SIMD_EXTENSIONS = " ".join(np.show_config(mode="dicts")["SIMD Extensions"]["found"])
OLDEST_PROCESSOR = {  # plain x86-64: no AVX, no fused multiply-add
    "OPENBLAS_CORETYPE": "Prescott",
    "NUMBA_CPU_NAME": "generic",
    "NPY_DISABLE_CPU_FEATURES": NUMPY_SIMD_EXTENSIONS,
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX2,-FMA,-FMA4",
    "MARQUEE_THREADS": "1",
    "PYTHONHASHSEED": "1",
}
HASWELL = {"OPENBLAS_CORETYPE": "Haswell", "MARQUEE_THREADS": "2", "PYTHONHASHSEED": "2"}
SKYLAKE = {"OPENBLAS_CORETYPE": "SkylakeX", "MARQUEE_THREADS": "3", "PYTHONHASHSEED": "3"}
REQUIRED_FLAGS = {"Haswell": "avx2", "SkylakeX": "avx512f"}  # by OpenBLAS core type; other types need none

StageOutputs = tuple[tuple[str, ...], dict[str, str]]  # kernels chosen by OpenBLAS, digests of outputs

pytestmark = [
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the simulated processors are x86-64"),
    pytest.mark.slow,
    pytest.mark.xdist_group("processors"),
]


@pytest.fixture(scope="module")
def runs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder that contains a folder for each run of the stages."""
    return tmp_path_factory.mktemp("processors")


@pytest.mark.parametrize("processor", [OLDEST_PROCESSOR, SKYLAKE], ids=["oldest", "SkylakeX"])
def test_outputs_of_small_demo_have_the_same_bytes(processor: dict[str, str], runs_folder: Path) -> None:
    assert_same_bytes(processor, runs_folder, shrink_demo)


@pytest.mark.endurance
@pytest.mark.parametrize("processor", [OLDEST_PROCESSOR, SKYLAKE], ids=["oldest", "SkylakeX"])
def test_outputs_of_full_demo_have_the_same_bytes(processor: dict[str, str], runs_folder: Path) -> None:
    assert_same_bytes(processor, runs_folder, leave_params_unchanged)


@pytest.mark.parametrize("processor", [OLDEST_PROCESSOR, SKYLAKE], ids=["oldest", "SkylakeX"])
def test_rankers_have_the_same_bytes(processor: dict[str, str]) -> None:
    for settings in (processor, HASWELL):
        skip_if_unsupported(settings)
    kernels, digests = run_script("ranker_digests.py", "2", processor)
    haswell_kernels, haswell_digests = run_script("ranker_digests.py", "2", HASWELL)
    assert kernels != haswell_kernels, "both runs used the same BLAS kernels"
    assert digests == haswell_digests


def shrink_demo(tree: dict[str, Any]) -> None:
    """Reduce the demo data, but keep more users than a block of the Cholesky factorization has columns."""
    tree["data"]["demo"] = {"n_ratings": 3000, "n_users": 100, "n_items": 150, "step": 1.0}


def leave_params_unchanged(tree: dict[str, Any]) -> None:
    """Use the full demo data of params.yaml."""


def assert_same_bytes(processor: dict[str, str], runs_folder: Path, change: ParamsChange) -> None:
    kernels, digests = run_stages_on(processor, runs_folder, change)
    haswell_kernels, haswell_digests = run_stages_on(HASWELL, runs_folder, change)
    assert kernels != haswell_kernels, "both runs used the same BLAS kernels"
    assert digests == haswell_digests


def run_stages_on(processor: dict[str, str], runs_folder: Path, change: ParamsChange) -> StageOutputs:
    """Run the numeric stages with the settings of a processor type."""
    skip_if_unsupported(processor)
    return _run_stages(tuple(processor.items()), runs_folder, change)


@cache
def _run_stages(
    settings: tuple[tuple[str, str], ...], runs_folder: Path, change: ParamsChange
) -> StageOutputs:
    processor = dict(settings)
    folder = runs_folder / f"{change.__name__}-{processor['OPENBLAS_CORETYPE']}"
    (folder / "data" / "inbox").mkdir(parents=True)
    tree = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    tree["search"]["workers"] = 0  # no processes: the script runs a worker thread
    change(tree)
    (folder / "params.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    return run_script("numeric_stages.py", str(folder), processor)


def run_script(name: str, argument: str, processor: dict[str, str]) -> StageOutputs:
    """Run a script of this folder with the settings of a processor type."""
    process = subprocess.run(
        [sys.executable, str(Path(__file__).with_name(name)), argument],
        env={**os.environ, **processor, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert process.returncode == 0, process.stderr
    result = json.loads(process.stdout.splitlines()[-1])
    return tuple(result["blas"]), result["digests"]


def skip_if_unsupported(processor: dict[str, str]) -> None:
    """Skip the test if this processor lacks the instructions of another type."""
    core = processor["OPENBLAS_CORETYPE"]
    if core in REQUIRED_FLAGS and REQUIRED_FLAGS[core] not in processor_flags():
        pytest.skip(f"this processor has no {REQUIRED_FLAGS[core]} instructions, which {core} needs")


@cache
def processor_flags() -> frozenset[str]:
    """Return the instruction sets of this processor, as the Linux kernel names them."""
    lines = Path("/proc/cpuinfo").read_text(encoding="ascii").splitlines()
    return frozenset(next(line for line in lines if line.startswith("flags")).split())
