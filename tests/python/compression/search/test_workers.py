"""Several processes, and several machines, give what one process gives."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from search_models import OPTIONS, model, samples

from whit.compression.search import Budget, SearchResult, search
from whit.errors import InvalidArgumentError


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other processes find whit where this one does."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))


@pytest.fixture(scope="module")
def serial() -> SearchResult:
    return run()


def run(**options: Any) -> SearchResult:
    return search(model(), Budget(max_drop=4), samples(), evaluation=samples(160), **{**OPTIONS, **options})


def test_two_processes(serial: SearchResult) -> None:
    pytest.importorskip("joblib")
    assert run(jobs=2) == serial


@pytest.fixture
def cluster() -> Iterator[str]:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as cluster:
        yield cluster.scheduler_address


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_two_dask_workers(serial: SearchResult, cluster: str) -> None:
    assert run(dask=cluster) == serial


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_no_scheduler_there(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("whit.compression.search.workers._DASK_TIMEOUT", "1s")
    with pytest.raises(InvalidArgumentError, match=r"no scheduler at 'tcp://127\.0\.0\.1:9'"):
        run(dask="tcp://127.0.0.1:9")
