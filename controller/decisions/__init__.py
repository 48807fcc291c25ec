"""Pure decisions: (declared, recorded, observed, now) -> Plan.

No I/O, no clock, no asyncio, no kopf: everything a decision needs is an argument, so that each is tested as a table.
"""
