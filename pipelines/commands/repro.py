"""`marquee repro`: run the pipeline, repair this machine's stores, and print a summary."""

import time
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

from experiments.config import Params
from experiments.search.space import check_candidates
from marquee.errors import SourceError
from pipelines.support.dvc import run_dvc


def repro(params: Params, *, force: bool = False) -> None:
    """Run the stages whose inputs changed, or all of them with `force`.

    Raises:
        MarqueeError: params.yaml is wrong, or a stage failed; the stage's own message is printed above.
    """
    check_candidates(params.search)
    if not params.data.path.exists():
        raise SourceError(
            f"data.path: {params.data.path} not found; correct params.yaml or put the data there"
        )
    started = time.time()
    with ThreadPoolExecutor(1) as background:
        background.submit(_prepare, params)
        run_dvc("repro", *(["--force"] if force else []))
    from pipelines.support.repair import repair_stores
    from pipelines.support.repro_summary import print_summary

    repair_stores(params)
    print_summary(params, started)


def _prepare(params: Params) -> None:
    """Import the modules needed after DVC and create the tracking store, while DVC uses one core only.

    Errors are ignored here: they occur again where the modules and the store are used.
    """
    from experiments.tracking.runs import ExperimentTracker

    ExperimentTracker(params.search.experiment)
    import_module("pipelines.support.repair")
    import_module("pipelines.support.repro_summary")
