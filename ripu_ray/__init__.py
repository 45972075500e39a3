"""ripu-ray: active learning for domain-adaptive semantic segmentation.

    import ripu_ray as ripu
    results = ripu.sweep(budgets=[2.2, 5], mode="region")

Every name of `__all__` is imported at its first use, so that `import ripu_ray` loads neither torch nor Ray.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ripu_ray.api.annotating import answer, query, status, train
    from ripu_ray.api.datasets import DataReport, check_data, convert_data, init_data
    from ripu_ray.api.jobs import is_job_server, submit, submit_resume
    from ripu_ray.api.names import acquisition_names, setting_keys
    from ripu_ray.api.one_image import score_image, select
    from ripu_ray.api.planning import Plan, plan
    from ripu_ray.api.results import Results, compare, dashboard, report
    from ripu_ray.api.running import name_folder, resume, run, run_config, start, sweep, sweep_config
    from ripu_ray.api.starting import DataOptions, Observer, read_run
    from ripu_ray.api.versions import versions
    from ripu_ray.api.weights import evaluate, export_weights
    from ripu_ray.config import REFERENCES, Config, dump_config, load_config, override
    from ripu_ray.config.data_section import DatasetSection
    from ripu_ray.core.acquisition import Query, acquisition
    from ripu_ray.data.datasets import dataset
    from ripu_ray.distributed.jobs import JobServer
    from ripu_ray.errors import RipuError
    from ripu_ray.models.networks import network
    from ripu_ray.models.protocol import Network
    from ripu_ray.reporting.comparison import Comparison
    from ripu_ray.runs.event_log import Progress
    from ripu_ray.runs.interrupt import StopRequest
    from ripu_ray.runs.ledger import Ledger
    from ripu_ray.runs.run_folder import RunFolder
    from ripu_ray.simulation.stopping import stopping_rule
    from ripu_ray.storage.remote import locate

_NAMES = {
    "api.annotating": ("answer", "query", "status", "train"),
    "api.datasets": ("DataReport", "check_data", "convert_data", "init_data"),
    "api.jobs": ("is_job_server", "submit", "submit_resume"),
    "api.names": ("acquisition_names", "setting_keys"),
    "api.one_image": ("score_image", "select"),
    "api.planning": ("Plan", "plan"),
    "api.results": ("Results", "compare", "dashboard", "report"),
    "api.running": ("name_folder", "resume", "run", "run_config", "start", "sweep", "sweep_config"),
    "api.starting": ("DataOptions", "Observer", "read_run"),
    "api.versions": ("versions",),
    "api.weights": ("evaluate", "export_weights"),
    "config": ("Config", "REFERENCES", "dump_config", "load_config", "override"),
    "config.data_section": ("DatasetSection",),
    "core.acquisition": ("Query", "acquisition"),
    "data.datasets": ("dataset",),
    "distributed.jobs": ("JobServer",),
    "errors": ("RipuError",),
    "models.networks": ("network",),
    "models.protocol": ("Network",),
    "reporting.comparison": ("Comparison",),
    "runs.event_log": ("Progress",),
    "runs.interrupt": ("StopRequest",),
    "runs.ledger": ("Ledger",),
    "runs.run_folder": ("RunFolder",),
    "simulation.stopping": ("stopping_rule",),
    "storage.remote": ("locate",),
}
"""Module -> the names that it defines."""
_MODULES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = [
    "REFERENCES",
    "Comparison",
    "Config",
    "DataOptions",
    "DataReport",
    "DatasetSection",
    "JobServer",
    "Ledger",
    "Network",
    "Observer",
    "Plan",
    "Progress",
    "Query",
    "Results",
    "RipuError",
    "RunFolder",
    "StopRequest",
    "__version__",
    "acquisition",
    "acquisition_names",
    "answer",
    "check_data",
    "compare",
    "convert_data",
    "dashboard",
    "dataset",
    "dump_config",
    "evaluate",
    "export_weights",
    "init_data",
    "is_job_server",
    "load_config",
    "locate",
    "name_folder",
    "network",
    "override",
    "plan",
    "query",
    "read_run",
    "report",
    "resume",
    "run",
    "run_config",
    "score_image",
    "select",
    "setting_keys",
    "start",
    "status",
    "stopping_rule",
    "submit",
    "submit_resume",
    "sweep",
    "sweep_config",
    "train",
    "versions",
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
