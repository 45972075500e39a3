"""The private interfaces of Ray's job client that this package uses.

They are not in `ray_internals` because this client takes half a second to import, which every process of a trial
would pay. tests/distributed/test_ray_internals.py fails when they change.
"""

from typing import Any

from ray.job_submission import JobSubmissionClient

from ripu_ray.distributed.ray_internals import as_read


class TimedJobClient(JobSubmissionClient):
    """Ray's job client with a timeout for each request; Ray's own client has no timeout.

    Args:
        address: URL of the job server.
        connect_timeout_s: timeout of each request until `timeout_s` is set.
    """

    timeout_s: float

    def __init__(self, address: str, connect_timeout_s: float) -> None:
        self.timeout_s = connect_timeout_s
        super().__init__(address)

    def versions(self) -> tuple[str, str]:
        """Versions of Ray and Python on the cluster."""
        with as_read():
            about = self._do_request("GET", "/api/v0/cluster_metadata").json()["data"]
            return about["rayVersion"], about["pythonVersion"]

    def _do_request(self, method: str, endpoint: str, **more: Any) -> Any:
        return super()._do_request(method, endpoint, timeout=self.timeout_s, **more)
