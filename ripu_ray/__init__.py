"""ripu-ray: which pixels should we pay to label?

    import ripu_ray as ripu
    results = ripu.sweep(budgets=[2.2, 5], mode="region")

Every name of `__all__` is imported at its first use, so that `import ripu_ray` loads neither torch nor Ray.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ripu_ray.api.images import score_image, select
    from ripu_ray.api.results import Results, report
    from ripu_ray.api.running import resume, run, sweep
    from ripu_ray.config import Config, load_config
    from ripu_ray.config.datasets import DatasetSection
    from ripu_ray.core.acquisition import Query, acquisition
    from ripu_ray.data.datasets import dataset
    from ripu_ray.errors import RipuError
    from ripu_ray.models.networks import network
    from ripu_ray.models.protocol import Network
    from ripu_ray.runs.ledger import Ledger
    from ripu_ray.simulation.stopping import stopping_rule

_MODULES = {
    "Config": "config",
    "DatasetSection": "config.datasets",
    "Ledger": "runs.ledger",
    "Network": "models.protocol",
    "Query": "core.acquisition",
    "Results": "api.results",
    "RipuError": "errors",
    "acquisition": "core.acquisition",
    "dataset": "data.datasets",
    "load_config": "config",
    "network": "models.networks",
    "report": "api.results",
    "resume": "api.running",
    "run": "api.running",
    "score_image": "api.images",
    "select": "api.images",
    "stopping_rule": "simulation.stopping",
    "sweep": "api.running",
}
"""Name -> the module that defines it."""

__all__ = [
    "Config",
    "DatasetSection",
    "Ledger",
    "Network",
    "Query",
    "Results",
    "RipuError",
    "__version__",
    "acquisition",
    "dataset",
    "load_config",
    "network",
    "report",
    "resume",
    "run",
    "score_image",
    "select",
    "stopping_rule",
    "sweep",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("ripu-ray")
    if name not in _MODULES:
        raise AttributeError(f"module 'ripu_ray' has no attribute {name!r}")
    return getattr(import_module(f"ripu_ray.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
