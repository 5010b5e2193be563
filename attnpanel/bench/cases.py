"""The former path of :mod:`attnpanel.bench.certify.cases`, kept for scripts."""

from attnpanel.bench.certify.cases import CERTIFICATE_CASES, Case, make_inputs

__all__ = ["CERTIFICATE_CASES", "Case", "make_inputs"]
