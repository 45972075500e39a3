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

_MODULES = {
    "Comparison": "reporting.comparison",
    "Config": "config",
    "DataOptions": "api.starting",
    "DataReport": "api.datasets",
    "DatasetSection": "config.data_section",
    "JobServer": "distributed.jobs",
    "Ledger": "runs.ledger",
    "Network": "models.protocol",
    "Observer": "api.starting",
    "Plan": "api.planning",
    "Progress": "runs.event_log",
    "Query": "core.acquisition",
    "REFERENCES": "config",
    "Results": "api.results",
    "RipuError": "errors",
    "RunFolder": "runs.run_folder",
    "StopRequest": "runs.interrupt",
    "acquisition": "core.acquisition",
    "acquisition_names": "api.names",
    "answer": "api.annotating",
    "check_data": "api.datasets",
    "compare": "api.results",
    "convert_data": "api.datasets",
    "dashboard": "api.results",
    "dataset": "data.datasets",
    "dump_config": "config",
    "evaluate": "api.weights",
    "export_weights": "api.weights",
    "init_data": "api.datasets",
    "is_job_server": "api.jobs",
    "load_config": "config",
    "locate": "storage.remote",
    "name_folder": "api.running",
    "network": "models.networks",
    "override": "config",
    "plan": "api.planning",
    "query": "api.annotating",
    "read_run": "api.starting",
    "report": "api.results",
    "resume": "api.running",
    "run": "api.running",
    "run_config": "api.running",
    "score_image": "api.one_image",
    "select": "api.one_image",
    "setting_keys": "api.names",
    "start": "api.running",
    "status": "api.annotating",
    "stopping_rule": "simulation.stopping",
    "submit": "api.jobs",
    "submit_resume": "api.jobs",
    "sweep": "api.running",
    "sweep_config": "api.running",
    "train": "api.annotating",
    "versions": "api.versions",
}
"""Name -> the module that defines it."""

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
