"""What the training of a trial whose process was killed still holds.

Ray keeps a placement group, and the cores in it, until the job ends, even if whoever made it is dead. Train has a
cleaner for that, which asks the dashboard: where there is none, as in a Ray of our own, later training would wait for
ever. So the driver looks itself, by the same table that Ray's own `placement_group_table` reads.
"""

import time

import ray
from ray._private.state import state
from ray._raylet import ActorID, PlacementGroupID
from ray.core.generated.gcs_pb2 import PlacementGroupTableData  # type: ignore[attr-defined]
from ray.util.placement_group import PlacementGroup, remove_placement_group

INTERVAL_S = 1.0


class OrphanWatch:
    """Frees what is held by placement groups of this job whose makers are dead."""

    def __init__(self) -> None:
        self._looked_s = 0.0

    def look(self) -> None:
        """Free what there is to free; looks once a second at most."""
        now = time.monotonic()
        # Through ray:// the table is out of reach; a cluster that serves it has a dashboard.
        is_client: bool = ray.util.client.ray.is_connected()  # type: ignore[no-untyped-call]
        if is_client or now < self._looked_s + INTERVAL_S:
            return
        self._looked_s = now
        job = ray.get_runtime_context().get_job_id()
        for row in state._connect_and_get_accessor().get_placement_group_table():
            group = PlacementGroupTableData.FromString(row)
            # What the driver made itself has no actor, and counts as made by a dead one.
            is_orphan = group.creator_actor_dead and not ActorID(group.creator_actor_id).is_nil()
            is_held = group.state != PlacementGroupTableData.REMOVED
            if is_orphan and is_held and group.creator_job_id.hex() == job:
                remove_placement_group(PlacementGroup(PlacementGroupID(group.placement_group_id)))
