"""A real Kubernetes node on one Linux machine without Docker: etcd, API server, all controllers, scheduler,
containerd, kubelet. `hack/cluster` is its command; the tests under tests/cluster use the same code. Nothing of the
product may import this."""
