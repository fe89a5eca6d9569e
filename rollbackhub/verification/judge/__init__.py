"""The judge: is what was harmed back at its baseline? Evidence in, verdict out; the same looks always give the same verdict.

SciPy and statsmodels are imported when a verdict is made, not with this package: they take 1.4 s and 130 MB of a process that may never judge.
"""

from rollbackhub.verification.judge.evidence import Baseline, BaselineKind, Counts, Histogram, InvalidEvidence, Look, Samples
from rollbackhub.verification.judge.judgement import Judgement, PaidLook
from rollbackhub.verification.judge.ladder import ErrorRates
from rollbackhub.verification.judge.latencies import judge_latency
from rollbackhub.verification.judge.latency_question import LatencyMargin
from rollbackhub.verification.judge.rate_question import RateMargin
from rollbackhub.verification.judge.rates import judge_rate

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
]
