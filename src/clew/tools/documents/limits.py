"""How much a document may ask for. What asks for more fails; nothing is cut off in silence."""

from __future__ import annotations

MEMORY_BYTES = 1024 * 2**20
"""Address space of a reader: code and libraries take a tenth of it."""

CPU_S = 60
WALL_S = 120.0
"""How long a reader may be waited for, in sum."""

PAGES_MAX = 20_000
"""Pages, slides or sheets."""

CHARACTERS_MAX = 50_000_000
"""Of text: some ten million tokens."""

MEMBERS_MAX = 20_000
"""Entries of an archive."""

UNPACKED_BYTES_MAX = 512 * 2**20
"""Bytes that come out of an archive, of those of its members that are read."""

RATIO_MAX = 250
RATIO_FREE_BYTES = 16 * 2**20
"""So many bytes may come out for one that went in, once there are more than this."""

NESTING_MAX = 500
"""Elements of XML within one another."""

SHARED_CHARACTERS_MAX = 50_000_000
"""Of the texts that the cells of a workbook share, which are held in memory."""

FRAME_BYTES_MAX = 64 * 1024
