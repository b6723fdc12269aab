"""params.yaml for tests: the project's own file with changes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

PARAMS = Path(__file__).parents[2] / "params.yaml"
ParamsChange = Callable[[dict[str, Any]], object]  # modifies the tree in place; its result is ignored


def write_changed_params(path: Path, change: ParamsChange, original: Path = PARAMS) -> None:
    """Load the parameters in `original`, apply `change` to them, and write the result to `path`."""
    tree = yaml.safe_load(original.read_text(encoding="utf-8"))
    change(tree)
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
