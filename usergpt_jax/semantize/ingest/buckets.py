"""Rows on disk between reading and settling, in buckets by user, so that one bucket at a time fits in memory."""

import pathlib

import polars as pl
import pyarrow.parquet as pq

ROWS_PER_BUCKET = 2_000_000
_MAX_BUCKETS = 256  # files open at once


def count_for(n_rows: int) -> int:
    """How many buckets a log of so many rows takes."""
    return max(1, min(_MAX_BUCKETS, -(-n_rows // ROWS_PER_BUCKET)))


class Buckets:
    """Temporary Parquet files; all rows of a user are in one of them, in the order they were added.

    Attributes:
      n: how many.
    """

    def __init__(self, folder: pathlib.Path, n: int):
        self.n = n
        self._folder = folder
        self._writers: dict[int, pq.ParquetWriter] = {}
        folder.mkdir(parents=True)

    def add(self, rows: pl.DataFrame) -> None:
        """Writes rows to the buckets of their users."""
        if self.n == 1:
            self._write(0, rows)
            return
        bucket = (pl.col("user_id").hash(seed=0) % self.n).alias("bucket")
        for (number,), part in (
            rows.with_columns(bucket)
            .partition_by("bucket", maintain_order=True, include_key=False, as_dict=True)
            .items()
        ):
            self._write(int(number), part)

    def _write(self, number: int, rows: pl.DataFrame) -> None:
        if not rows.height:
            return
        table = rows.to_arrow()
        if number not in self._writers:
            self._writers[number] = pq.ParquetWriter(self._path(number), table.schema, compression="lz4")
        self._writers[number].write_table(table)

    def close(self) -> None:
        """Ends the writing."""
        writers, self._writers = self._writers, {}
        for writer in writers.values():
            writer.close()

    def take(self, number: int) -> pl.DataFrame | None:
        """The rows of a bucket, whose file is then removed; None for one without rows."""
        path = self._path(number)
        if not path.exists():
            return None
        rows = pl.read_parquet(path, memory_map=False)
        path.unlink()
        return rows

    def _path(self, number: int) -> pathlib.Path:
        return self._folder / f"bucket-{number:03d}.parquet"
