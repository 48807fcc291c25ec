"""The local control plane: etcd, kube-apiserver, kube-controller-manager and the controller on one machine."""
