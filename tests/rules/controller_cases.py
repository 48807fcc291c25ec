"""Cases of the alerts about the controller itself."""

from __future__ import annotations

from tests.rules.ringing import Case, Ring

GIB = 1024**3
DOWN = Ring(
    "No controller of the scrape job holdfast could be scraped for 2 minutes. Running jobs go on; nothing is started, "
    "recorded or called back.",
    target={"job": "holdfast"},
)
ABSENT = Ring(
    "Prometheus has no target that is a Holdfast controller: it was removed, or the scrape configuration does not find "
    "it.",
    target={},
)

GAP = "The controller h:9400 has dropped lines of the audit journal within the last hour."

CASES = (
    Case(
        "HoldfastControllerDown",
        "it is killed and comes back",
        {"up": "1x9 0x9 1x9", "holdfast_build_info": "1x9 stale _x8 1x9"},
        ((9, None), (11, None), (13, DOWN), (19, DOWN), (21, None)),
    ),
    Case(
        "HoldfastControllerDown",
        "one failed scrape",
        {"up": "1x9 0 1x9", "holdfast_build_info": "1x9 stale 1x9"},
        ((10, None), (11, None), (13, None)),
    ),
    Case(
        "HoldfastControllerDown",
        "one of two goes on",
        {
            "up": "1x9 0x30",
            "holdfast_build_info": "1x9 stale",
            'up{job="holdfast",instance="h:9401"} elsewhere': "1x40",
            'holdfast_build_info{job="holdfast",instance="h:9401"} elsewhere': "1x40",
        },
        ((15, None), (30, None)),
    ),
    Case("HoldfastControllerDown", "a target that is not Holdfast", {"up": "0x30"}, ((20, None),)),
    Case(
        "HoldfastControllerAbsent",
        "its target goes and comes",
        {"up": "1x9 stale _x20 1x9", "holdfast_build_info": "1x9 stale _x20 1x9"},
        ((9, None), (18, None), (22, ABSENT), (29, ABSENT), (33, None)),
    ),
    Case("HoldfastControllerAbsent", "there never was one", {"up": "1x30"}, ((5, None), (11, ABSENT))),
    Case(
        "HoldfastControllerAbsent",
        "it is down, which another alert says",
        {"up": "1x9 0x30", "holdfast_build_info": "1x9 stale"},
        ((30, None),),
    ),
    Case(
        "HoldfastControllerCrashLooping",
        "a start every two minutes, then it stays up",
        {
            "process_start_time_seconds": "0x9 600 600 720 720 840 840 960 960 1080x60",
            "holdfast_build_info": "1x80",
        },
        (
            (9, None),
            (15, None),
            (17, Ring("The controller h:9400 was started 4 times within 30 minutes.")),
            (19, Ring("The controller h:9400 was started 5 times within 30 minutes.")),
            (60, None),
        ),
    ),
    Case(
        "HoldfastControllerCrashLooping",
        "an upgrade that is taken back",
        {"process_start_time_seconds": "0x9 600x5 960x60", "holdfast_build_info": "1x80"},
        ((10, None), (16, None), (20, None)),
    ),
    Case(
        "HoldfastControllerCrashLooping",
        "another program does",
        {"process_start_time_seconds": "0+60x60"},
        ((20, None), (40, None)),
    ),
    Case(
        "HoldfastReconcileStuck",
        "a key waits for ten minutes",
        {"holdfast_workqueue_oldest_ready_seconds": "0x9 30 90+60x8 0x9"},
        (
            (9, None),
            (15, None),
            (17, Ring("The oldest key in the work queue of h:9400 has been ready for 7m 30s.")),
            (20, None),
        ),
    ),
    Case(
        "HoldfastReconcileStuck",
        "the first minutes of a start with many objects",
        {"holdfast_workqueue_oldest_ready_seconds": "0 70x2 0x20"},
        ((2, None), (6, None), (10, None)),
    ),
    Case(
        "HoldfastApiErrors",
        "a quarter of the calls fails for half an hour, and a restart in it",
        {
            'holdfast_api_requests_total{verb="get",kind="BatchJob",code="2xx"}': "0+30x19 600+30x14 0+30x14 450+30x30",
            'holdfast_api_requests_total{verb="get",kind="BatchJob",code="5xx"}': "0x19 0+10x14 0+10x14 150x30",
            'holdfast_api_requests_total{verb="get",kind="BatchJob",code="unreachable"}': "0x90",
        },
        (
            (19, None),
            (25, None),
            (45, Ring("25% of the calls of h:9400 to the API server are answered with 5xx or not at all.")),
            (60, None),
        ),
    ),
    Case(
        "HoldfastApiErrors",
        "conflicts and missing objects are answers",
        {
            'holdfast_api_requests_total{verb="patch_status",kind="BatchJob",code="409"}': "0+30x60",
            'holdfast_api_requests_total{verb="get",kind="BatchJob",code="404"}': "0+30x60",
            'holdfast_api_requests_total{verb="get",kind="BatchJob",code="5xx"}': "0x60",
        },
        ((30, None),),
    ),
    Case(
        "HoldfastApiErrors",
        "nothing is asked",
        {'holdfast_api_requests_total{verb="get",kind="BatchJob",code="5xx"}': "0x60"},
        ((30, None),),
    ),
    Case(
        "HoldfastMissingRights",
        "a right is taken away and given back",
        {
            'holdfast_missing_rights{verb="patch_status",kind="BatchJob"}': "0x9 1x14 0x9",
            'holdfast_missing_rights{verb="create",kind="Job"}': "0x40",
        },
        (
            (9, None),
            (14, None),
            (
                16,
                Ring(
                    "h:9400 may not patch_status BatchJob for 5 minutes: what needs it stands still, running jobs go "
                    "on.",
                    {"verb": "patch_status", "kind": "BatchJob"},
                ),
            ),
            (26, None),
        ),
    ),
    Case(
        "HoldfastMissingRights",
        "a role is replaced",
        {'holdfast_missing_rights{verb="patch_status",kind="BatchJob"}': "0x9 1x3 0x20"},
        ((11, None), (20, None)),
    ),
    Case(
        "HoldfastDiskFull",
        "less than the limit for a while",
        {
            "holdfast_state_free_bytes": f"{3 * GIB}x9 {GIB}x9 {3 * GIB}x9",
            "holdfast_state_min_free_bytes": f"{2 * GIB}x40",
        },
        (
            (9, None),
            (10, None),
            (
                12,
                Ring(
                    "The file system of the state directory of h:9400 has 1GiB free, less than "
                    "HOLDFAST_MIN_FREE_BYTES. Below half of it the jobs that print most are ended."
                ),
            ),
            (21, None),
        ),
    ),
    Case(
        "HoldfastDiskNearFull",
        "below twice the limit, then full, which another alert says, then room",
        {
            "holdfast_state_free_bytes": f"{9 * GIB}x9 {3 * GIB}x29 {GIB}x9 {9 * GIB}x20",
            "holdfast_state_min_free_bytes": f"{2 * GIB}x90",
        },
        (
            (9, None),
            (20, None),
            (
                30,
                Ring(
                    "The file system of the state directory of h:9400 comes close to HOLDFAST_MIN_FREE_BYTES, below "
                    "which no job starts."
                ),
            ),
            (45, None),
        ),
    ),
    Case(
        "HoldfastDiskNearFull",
        "the pace of the last hours fills it within four",
        {
            "holdfast_state_free_bytes": f"{40 * GIB}x60 {40 * GIB}-{GIB * 3 // 20}x240",
            "holdfast_state_min_free_bytes": f"{2 * GIB}x400",
        },
        (
            (60, None),
            (
                220,
                Ring(
                    "The file system of the state directory of h:9400 comes close to HOLDFAST_MIN_FREE_BYTES, below "
                    "which no job starts."
                ),
            ),
        ),
    ),
    Case(
        "HoldfastDiskNearFull",
        "a job writes a lot where there is a lot of room",
        {
            "holdfast_state_free_bytes": f"{400 * GIB}x60 {400 * GIB}-{2 * GIB}x90",
            "holdfast_state_min_free_bytes": f"{2 * GIB}x400",
        },
        ((150, None),),
    ),
    Case(
        "HoldfastAuditLinesDropped",
        "a full disk for a while",
        {"holdfast_audit_dropped_total": "0x9 0+7x9 63x90", "process_start_time_seconds": "0x120"},
        (
            (9, None),
            (12, Ring(GAP)),
            (60, Ring(GAP)),
            (90, None),
        ),
    ),
    Case(
        "HoldfastAuditLinesDropped",
        "a restart sets the count back",
        {"holdfast_audit_dropped_total": "63x70 0x60", "process_start_time_seconds": "0x70 4260x60"},
        ((69, None), (72, None), (100, None)),
    ),
)
