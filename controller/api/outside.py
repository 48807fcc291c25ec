"""Labels by which a queue outside of Holdfast, such as Kueue, finds the batch/v1 Jobs that it limits (4.1).

Words only, so that the command line need not load the models to know them.
"""

OUTSIDE_QUEUES = "kueue.x-k8s.io/"  # labels of a BatchJob that its batch/v1 Jobs get too
QUEUE_LABEL = f"{OUTSIDE_QUEUES}queue-name"  # names the outside queue that limits instead of the JobQueue
