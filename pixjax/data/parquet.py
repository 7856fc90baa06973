"""Rows of Parquet files: row group by row group, only the columns that are wanted."""

import contextlib
import dataclasses
import hashlib
import os
from collections.abc import Iterator, Sequence
from typing import Any

from pixjax.data.bad_records import BadRow
from pixjax.data.rows import name_another
from pixjax.errors import InputError

_ROWS_AT_ONCE = 1024


def open_parquet(path: Any) -> Any:
    """A `pyarrow.parquet.ParquetFile`. Raises `InputError` without pyarrow, and for what is none."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise InputError(f"{path} needs the package pyarrow: pip install 'pixjax[parquet]'") from None
    try:
        return pq.ParquetFile(path.open("rb"))
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} cannot be read: {one_line(error)}") from None


def footer_digest(path: Any) -> str:
    """sha256 of the schema, the places, sizes and extremes of all columns: it changes with nearly any change of the
    content, and nothing but the end of the file is read.
    """
    with path.open("rb") as file:
        file.seek(-8, os.SEEK_END)
        length = int.from_bytes(file.read(4), "little")
        file.seek(-8 - length, os.SEEK_END)
        return hashlib.sha256(file.read(length)).hexdigest()


def one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]


@dataclasses.dataclass(frozen=True)
class ParquetRows:
    """A mapping by column for each row; its place is the number of rows before it."""

    path: Any
    unit = "row"
    place_unit = "row"

    def rows(self, start: int = 0, keys: Sequence[str] = ()) -> Iterator[tuple[int, int, Any]]:
        with contextlib.closing(open_parquet(self.path)) as file:
            import pyarrow as pa

            columns = file.schema_arrow.names
            for key in keys:
                if key not in columns:
                    raise InputError(f"{self.path} has no column {key!r}: {name_another(columns)}")
                if columns.count(key) > 1:
                    raise InputError(f"{self.path} has {columns.count(key)} columns {key!r}: rename all but one")
            sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
            place = group = 0
            while group < len(sizes) and place + sizes[group] <= start:
                place += sizes[group]
                group += 1
            batches = file.iter_batches(_ROWS_AT_ONCE, row_groups=range(group, len(sizes)), columns=list(keys) or None)
            try:
                for batch in batches:
                    skipped = min(max(0, start - place), batch.num_rows)
                    place += skipped
                    for row in _rows_of(batch.slice(skipped)):
                        yield place, place + 1, row
                        place += 1
            except (pa.ArrowException, OSError) as error:
                raise InputError(f"{self.path} cannot be read: {one_line(error)}") from None


def _rows_of(batch: Any) -> Iterator[Any]:
    try:
        return iter(batch.to_pylist())
    except UnicodeDecodeError:  # not checked when it was written: every row for itself
        return map(_row_of, (batch.slice(number, 1) for number in range(batch.num_rows)))


def _row_of(batch: Any) -> Any:
    try:
        return batch.to_pylist()[0]
    except UnicodeDecodeError:
        return BadRow("corrupt", " is not UTF-8 text")
