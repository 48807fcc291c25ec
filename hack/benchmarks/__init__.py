"""The benchmarks: one module per name, `rig` to run them on, `audit` and `processes` to measure, `result` to tell."""
