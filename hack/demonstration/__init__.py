"""The parts of hack/demo: where it plays (stage), the work that it gives (work), and how it is judged (proof)."""
