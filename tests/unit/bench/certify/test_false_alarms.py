"""Random cases of correct code: what is drawn, and what the command counts."""

import itertools
from typing import get_args

from attnpanel.attention.mask_table import mask_kinds
from attnpanel.bench.__main__ import main
from attnpanel.bench.certify import false_alarms
from attnpanel.bench.certify.case import InputKind
from attnpanel.bench.certify.false_alarms import MAX_CELLS, random_cases
from attnpanel.kernels.request import DType
from tests.unit.bench.certify.fault_injection import make_attention


def drawn(seed, count=500):
    return list(itertools.islice(random_cases(seed), count))


def test_cases_are_of_every_kind_and_of_bounded_size():
    requests = [case.request for case in drawn(1)]

    assert {r.mask for r in requests} == set(mask_kinds())
    assert {r.dtype for r in requests} == set(get_args(DType))
    assert {case.kind for case in drawn(1)} == {*get_args(InputKind)} - {
        "huge",
        "deep",
        "subnormal",
    }
    for name in ("bias", "align"):
        assert len({getattr(r, name) for r in requests}) == 2
    assert any(r.key_len > 2048 for r in requests)
    assert any(r.heads != r.kv_heads for r in requests)
    assert any((r.scale or 0) < 0 for r in requests)
    assert all(r.batch * r.heads * r.query_len * r.key_len <= 2 * MAX_CELLS for r in requests)


def test_a_seed_gives_the_same_cases_again():
    assert drawn(3, 20) == drawn(3, 20)
    assert drawn(3, 20) != drawn(4, 20)


def test_command_counts_what_passes(capsys):
    assert main(["false-alarms", "--only", "numpy-online", "--cases", "3", "--seed", "1"]) == 0

    assert "numpy-online: 3 passed, 0 failed" in capsys.readouterr().out


def test_command_exits_with_1_where_a_certificate_fails(capsys, monkeypatch):
    wrong = make_attention(scale=1.01)
    monkeypatch.setattr(false_alarms, "find_implementation", lambda _: wrong)

    assert main(["false-alarms", "--only", "wrong", "--cases", "4", "--seed", "1"]) == 1

    printed = capsys.readouterr()
    assert "certificates of correct code failed" in printed.err
    assert "units of rounding error pass" in printed.out
    assert "wrong: 4 passed" not in printed.out
