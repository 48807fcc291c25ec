"""Taking Snapshots: the reconciler of the kind, the schedule, and what one look at the cluster is made of."""
