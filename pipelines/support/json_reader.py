"""Read JSON files written by earlier stages."""

import json
from pathlib import Path
from typing import Any

from marquee.errors import MarqueeError


def read_json(path: Path) -> dict[str, Any]:
    """Read the JSON object in a file.

    Raises:
        MarqueeError: the file does not exist, because its stage has not run, or it is not valid JSON.
    """
    try:
        tree: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise missing_output_error(path) from None
    except ValueError as error:
        raise MarqueeError(f"{path} is damaged ({error}); delete it and run `make repro`") from None
    return tree


def missing_output_error(path: Path) -> MarqueeError:
    """Return the error for a stage output that does not exist yet."""
    return MarqueeError(f"{path} not found; run the pipeline with `make repro`")
