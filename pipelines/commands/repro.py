"""`marquee repro`: run the pipeline, repair the registry and the Bento store, and print a summary."""

import time
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

from experiments.config import Params
from experiments.search.training_space import check_candidates
from marquee.errors import SourceError
from pipelines.support.dvc import run_dvc


def run_pipeline(params: Params, *, force: bool = False) -> None:
    """Run the stages whose inputs changed, or all of them with `force`.

    Raises:
        MarqueeError: params.yaml is invalid, or a stage failed after printing its own message.
    """
    check_candidates(params.search)
    if not params.data.path.exists():
        raise SourceError(
            f"data.path: {params.data.path} not found; correct params.yaml or put the data there"
        )
    started = time.time()
    with ThreadPoolExecutor(1) as background:
        background.submit(_import_and_create_store, params)
        run_dvc("repro", *(["--force"] if force else []))
    from pipelines.support.model_store_repair import register_and_package_if_missing
    from pipelines.support.repro_summary import print_summary

    register_and_package_if_missing(params)
    print_summary(params, started)


def _import_and_create_store(params: Params) -> None:
    """Import the modules needed after DVC and create the tracking store, while DVC uses only one core.

    Errors are ignored here, because they occur again where the modules and the store are used.
    """
    from experiments.tracking.runs import ExperimentTracker

    ExperimentTracker(params.search.experiment)
    import_module("pipelines.support.model_store_repair")
    import_module("pipelines.support.repro_summary")
