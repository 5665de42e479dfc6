"""A split: which sample is for what. Always a table with a hash, never an order of files."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from swath.errors import ContractError, InputError, nearest
from swath.files import replacing
from swath.reading import check_parquet, reading

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("id", "split", "group", "fold")
NAMES = ("train", "validation", "test", "unused")


@dataclass(frozen=True, eq=False)
class Split:
    """A table with the columns id, split (``train``, ``validation``, ``test``, ``unused``), group and fold.

    Args:
        table: one row per sample; ``group`` names what must stay together (a block, a continent, an event).
    """

    table: pd.DataFrame

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits that change with any assignment, but not with the order of the rows."""
        import pandas as pd

        # Missing entries are None, NaN or NA depending on how the table was made or read; they all mean the same.
        table = self.table[list(COLUMNS)]
        rows = sorted(["" if pd.isna(cell) else str(cell) for cell in row] for row in table.itertuples(index=False))
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:12]

    def ids(self, split: str) -> list[str]:
        """Sorted ids of one split; an unknown name gives an empty list."""
        return sorted(self.table.loc[self.table["split"] == split, "id"].astype(str))

    def counts(self) -> dict[str, int]:
        """Number of samples per split."""
        return {str(name): int(count) for name, count in self.table["split"].value_counts().sort_index().items()}

    def check(self) -> None:
        """Raise a plain sentence if the contract is broken.

        Raises:
            ContractError: missing columns, no rows, unknown split names, ids given twice, or a group in two splits.
        """
        missing = [column for column in COLUMNS if column not in self.table.columns]
        if missing:
            raise ContractError(
                f"The split table lacks the columns {', '.join(missing)}",
                expected=", ".join(COLUMNS),
                remedy="write it with swath, or add the columns",
            )
        if self.table.empty:
            raise ContractError(
                "The split table has no rows", expected="one row per sample", remedy="make chips first, then the split"
            )
        unknown = sorted({str(name) for name in self.table["split"]} - set(NAMES))
        if unknown:
            raise ContractError(
                f"The split table names the splits {', '.join(unknown)}",
                expected=f"only {', '.join(NAMES)}",
                remedy=f"the nearest to '{unknown[0]}' is: {nearest(unknown[0], NAMES)}",
            )
        twice = self.table["id"][self.table["id"].duplicated()].astype(str).tolist()
        if twice:
            raise ContractError(
                f"Ids appear twice in the split: {', '.join(twice[:5])}",
                expected="one row per sample",
                remedy="drop the duplicates",
            )
        used = self.table[self.table["split"] != "unused"]
        spread = used.groupby("group")["split"].nunique()
        leaking = [str(group) for group in spread[spread > 1].index]
        if leaking:
            raise ContractError(
                f"Groups lie in more than one split: {', '.join(leaking[:5])}",
                expected="all samples of a group in one split",
                remedy="split by group",
            )

    def save(self, path: Path | str) -> None:
        """Write the table as parquet, with its hash in a text file beside it."""
        path = Path(path)
        with replacing(path) as table, replacing(path.with_suffix(".hash")) as digest:
            self.table[list(COLUMNS)].to_parquet(table, index=False)
            digest.write_text(self.hash + "\n")

    @classmethod
    def load(cls, path: Path | str) -> Split:
        """Read a split and compare it with the hash beside it.

        Raises:
            InputError: the table or its hash is missing or damaged, or the table was changed after it was written.
        """
        import pandas as pd

        path = Path(path)
        if not path.exists():
            raise InputError(
                f"There is no split table {path}", expected="a parquet table", remedy="make the split first"
            )
        check_parquet(path, expected="a parquet table", remedy="make the split again")
        with reading(path, expected="a split table as parquet", remedy="make the split again"):
            split = cls(pd.read_parquet(path))
        missing = [column for column in COLUMNS if column not in split.table.columns]
        if missing:
            raise InputError(
                f"The split table {path} lacks the columns {', '.join(missing)}",
                expected=", ".join(COLUMNS),
                remedy="make the split again",
            )
        stored = path.with_suffix(".hash")
        if not stored.is_file():
            raise InputError(
                f"The split {path} was written without its hash or the hash was deleted",
                expected=f"{stored.name} beside the table",
                remedy="make the split again; Split(table).save(path) writes both",
            )
        with reading(path, expected="a split table as parquet", remedy="make the split again"):
            with stored.open("rb") as file:
                written = file.read(64).decode("utf-8", errors="replace").strip()
            present = split.hash
        if written != present:
            raise InputError(
                f"The split {path} has the hash {present}, not {written} as written",
                expected="a table that nobody edited",
                remedy="make the split again; Split(table).save(path) writes an edit that was on purpose",
            )
        return split
