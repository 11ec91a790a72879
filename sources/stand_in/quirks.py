"""Where one portal differs from another, although both are Bitrix24.

Belongs here: the switches. Does not belong here: what they do (`methods.py`, `query.py`).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Quirks:
    """Switches of a portal; the defaults are what most portals do.

    Attributes:
        iso_datetime_filter: filters of `crm.item.list` read ISO moments; without it only `Y-m-d H:i:s` in portal time
            matches anything.
        upper_field_names: elements come back with user fields under their original names, whatever
            `crm.item.fields` lists.
        active_as_text: `user.get` writes ACTIVE as Y and N.
        operating: `time` says how long a method has worked.
        operating_reset_at: `time` says when that begins to fade.
        total: lists that count say how many rows there are.
        integer_time: `time` is in whole seconds, and `processing` is 0.
    """

    iso_datetime_filter: bool = True
    upper_field_names: bool = False
    active_as_text: bool = False
    operating: bool = True
    operating_reset_at: bool = True
    total: bool = True
    integer_time: bool = False
