"""Cases of the alerts about starts."""

from __future__ import annotations

from tests.rules.ringing import Case, Ring

CASES = (
    Case(
        "HoldfastDegraded",
        "another cluster, then holdfast adopt",
        {'holdfast_degraded{reason="OtherCluster"}': "0x9 1x9 0x9", 'holdfast_degraded{reason="DiskFull"}': "1x90"},
        (
            (9, None),
            (10, None),
            (12, Ring("The controller h:9400 is degraded: OtherCluster.", {"reason": "OtherCluster"})),
            (21, None),
        ),
    ),
    Case(
        "HoldfastCorruptState",
        "a third is damaged, then mended",
        {"holdfast_corrupt_ratio": "0x9 0.3333x19 0.01x9"},
        (
            (9, None),
            (12, None),
            (17, Ring("33.33% of the objects and state files of h:9400 are damaged or were set aside.")),
            (31, None),
        ),
    ),
    Case("HoldfastCorruptState", "a twentieth is bearable", {"holdfast_corrupt_ratio": "0.05x40"}, ((20, None),)),
)
