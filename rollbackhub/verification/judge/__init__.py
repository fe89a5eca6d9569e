"""The judge: is what was harmed back at its baseline? Evidence in, verdict out; the same looks always give the same verdict.

SciPy and statsmodels are imported when a verdict is made, not with this package: they take 1.4 s and 130 MB of a process that may never judge.
Who is about to start processes that will judge calls `load_mathematics` first: they share what is loaded.
"""

from importlib import import_module

from rollbackhub.verification.judge.evidence import Baseline, BaselineKind, Counts, Histogram, InvalidEvidence, Look, Samples
from rollbackhub.verification.judge.judgement import Judgement, PaidLook
from rollbackhub.verification.judge.ladder import ErrorRates
from rollbackhub.verification.judge.latencies import judge_latency
from rollbackhub.verification.judge.latency_question import LatencyMargin
from rollbackhub.verification.judge.rate_question import RateMargin
from rollbackhub.verification.judge.rates import judge_rate

_MATHEMATICS = ("ranks", "rate_tests", "spread")

__all__ = [
    "Baseline",
    "BaselineKind",
    "Counts",
    "ErrorRates",
    "Histogram",
    "InvalidEvidence",
    "Judgement",
    "LatencyMargin",
    "Look",
    "PaidLook",
    "RateMargin",
    "Samples",
    "judge_latency",
    "judge_rate",
    "load_mathematics",
]


def load_mathematics() -> None:
    """Import what verdicts are reckoned with, so that the first one does not wait for it."""
    for name in _MATHEMATICS:
        import_module(f"{__name__}.{name}")
