"""Every planted defect fails a certificate, and the kernel it is planted in passes them."""

import pytest

from attnpanel.bench.certify.cases import CERTIFICATE_CASES
from attnpanel.bench.certify.certificate import certify
from tests.unit.bench.certify.case_strategies import size
from tests.unit.bench.certify.caught_by import kept_first
from tests.unit.bench.certify.planted_content_defects import CONTENT
from tests.unit.bench.certify.planted_defects import BASE, PLANTED
from tests.unit.bench.certify.planted_layout_defects import LAYOUTS
from tests.unit.bench.certify.planted_long_defects import LONG
from tests.unit.bench.certify.planted_paired_defects import PAIRED
from tests.unit.bench.certify.planted_specialised_defects import EXTREME, MORE
from tests.unit.bench.certify.planted_varied_defects import INPUTS, VARIED
from tests.unit.bench.certify.simulated_flash import simulated_flash

pytestmark = pytest.mark.slow  # every planted defect

TABLES = (PLANTED, VARIED, MORE, CONTENT, LONG, PAIRED, LAYOUTS)
ALL = {name: defect for table in TABLES for name, defect in table.items()}


# What is in every other case finds no defect of rare inputs.
COMMON_KINDS = ("randn", "peaked", "outlier", "large")


def cases_where(when, *, rare=False):
    """The certificate's own cases that could find a defect: of rare inputs, the cheapest first."""
    found = (case for case in CERTIFICATE_CASES if when(case.request))
    return sorted(found, key=lambda case: (rare and case.kind in COMMON_KINDS, size(case)))


def caught(name):
    """Return how many cases passed a defect before one caught it, and that case."""
    implementation, when = ALL[name]
    cases = cases_where(when, rare=name in INPUTS or name in EXTREME)
    for passed, case in enumerate(kept_first(name, cases)):
        if certify(implementation, case, until_failed=True).verdict == "fail":
            return passed, case
    return None


@pytest.mark.thorough(every=5)
@pytest.mark.parametrize("name", ALL)
def test_a_planted_defect_fails_a_certificate(name):
    assert caught(name) is not None


@pytest.mark.thorough(but=1)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("block", [32, 128])
def test_the_simulated_flash_kernel_without_a_fault_passes(dtype, block):
    cases = cases_where(lambda r: r.dtype == dtype and r.key_len > 500 and r.mask == "none")

    for case in cases[:3]:
        assert certify(simulated_flash(block=block), case).reasons == (), case.name


def test_every_planted_defect_has_a_name_of_its_own():
    assert len(ALL) == sum(len(table) for table in TABLES)
    assert BASE.hidden_leaks == frozenset()
