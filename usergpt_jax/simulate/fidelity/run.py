"""The fidelity report of a run: measures the log, judges it, prints a table, writes fidelity.json and fidelity.html."""

import json
import pathlib

from usergpt_jax import locales
from usergpt_jax.core.errors import InputError
from usergpt_jax.simulate.fidelity import log, measure, render
from usergpt_jax.simulate.fidelity.measure import Report

STAGE = "1_events"


def run(run: str, real: str = "", out: str = "", locale: str = "") -> Report:
    """Measures a run, prints the table and writes `fidelity.json` and the page.

    Args:
      run: the run directory; its 1_events/ is read.
      real: a real log to compare with: a run directory made by launch/ingest.py, or its 1_events/; "" for none.
      out: path of the page; `<run>/fidelity.html` where empty. fidelity.json lies beside it.
      locale: whose calendar, cities and targets hold; "" takes the one that the run was simulated with.

    Raises:
      InputError: a folder is missing or not of the expected form, or the logs have too little in common.
    """
    folder = pathlib.Path(run) / STAGE
    locale = locale or locale_of(folder)
    locales.check(locale)
    events = log.read(folder)
    other = log.read(events_folder(real)) if real else None
    report = measure.measure(events, folder / "users.parquet", locale, other)
    render.print_table(report)
    page_path = pathlib.Path(out) if out else pathlib.Path(run) / "fidelity.html"
    try:
        page_path.parent.mkdir(parents=True, exist_ok=True)
        page_path.write_text(render.page_of(report, str(run), str(real), locale), encoding="utf-8")
        records = page_path.with_suffix(".json")
        records.write_text(json.dumps(render.as_records(report), indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{page_path} cannot be written: {error.strerror}") from None
    print(f"wrote {page_path} and {records}")
    return report


def locale_of(folder: pathlib.Path) -> str:
    """The locale that a run was simulated with, by its manifest; the default one where it names none."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        return str(manifest["config"]["simulate"]["locale"])
    except (OSError, ValueError, KeyError, TypeError):
        return locales.DEFAULT


def events_folder(real: str) -> pathlib.Path:
    """The folder of event parts that `--real` means.

    Raises:
      InputError: it is a file, or holds no parts.
    """
    path = pathlib.Path(real)
    if path.is_file():
        raise InputError(
            f"--real {path} is a file; import it first: launch/ingest.py --events {path} --map MAP --run RUN"
        )
    return path / STAGE if (path / STAGE).is_dir() else path
