"""The former path of :mod:`bench.certify.cases`, kept for scripts."""

from bench.certify.cases import CERTIFICATE_CASES, Case, make_inputs

__all__ = ["CERTIFICATE_CASES", "Case", "make_inputs"]
