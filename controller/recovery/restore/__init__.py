"""`holdfast restore`: an archive's objects and statuses into a cluster, without a controller's help or hindrance."""
