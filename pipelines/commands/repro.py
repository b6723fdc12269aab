"""The whole pipeline for a person: run what changed, mend what this clone lacks, show what came out."""

import time
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

from experiments.config.offline import Params
from experiments.search.space import check_candidates
from marquee.errors import SourceError
from pipelines.support.dvc import dvc


def repro(params: Params, *, force: bool = False) -> None:
    """Run the DVC graph, then check that registry and Bento store hold what it promises.

    Raises:
        MarqueeError: a stage failed; its own line stands above.
    """
    check_candidates(params.search)
    if not params.data.path.exists():
        raise SourceError(
            f"data.path: there is no {params.data.path}; correct params.yaml, or put the data there"
        )
    started = time.time()
    with ThreadPoolExecutor(1) as meanwhile:
        meanwhile.submit(_get_ready, params)
        dvc("repro", *(["--force"] if force else []))
    from pipelines.support.repair import mend
    from pipelines.support.summary import print_summary

    mend(params)
    print_summary(params, started)


def _get_ready(params: Params) -> None:
    """Import what comes after DVC, and make the tracking store, while the first stages need one core only.

    What goes wrong here goes wrong again where it is needed, and is said there.
    """
    from experiments.tracking.runs import Tracker

    Tracker(params.search.experiment)
    import_module("pipelines.support.repair")
    import_module("pipelines.support.summary")
