"""The short form of cuts.py, and cuts.py itself: its two measures must be able to fail."""
import struct, hashlib

import cuts


def test_no_good_byte_is_fetched_twice():
    count, models, again, _ = cuts.campaign(cuts=30, seed=20, size=8, kinds=cuts.KINDS, slow_one_in=10)
    assert sum(count.values()) >= 30 and len(count) >= 5 and models >= 1
    assert again == 0


def test_the_journal_is_read_as_it_is_written(tmp_path):
    def slot(seq, ranges):
        s = b"TRSRPRT1" + struct.pack("<QQ", seq, 1000) + b"\1" * 32 + struct.pack("<Q", len(ranges))
        s += b"".join(struct.pack("<QQ", *r) for r in ranges)
        return (s + hashlib.sha256(s).digest()).ljust(cuts.SLOT, b"\0")
    j = tmp_path / "j"
    j.write_bytes(slot(4, [(0, 10)]) + slot(5, [(0, 20), (30, 40)]))
    assert cuts.journal_ranges(j) == [(0, 20), (30, 40)]
    torn = bytearray(slot(5, [(0, 20)]))
    torn[70] ^= 1
    j.write_bytes(slot(4, [(0, 10)]) + bytes(torn))
    assert cuts.journal_ranges(j) == [(0, 10)]
    assert cuts.journal_ranges(tmp_path / "none") == []


def test_what_is_fetched_twice_is_counted():
    assert cuts.overlap([(0, 10), (20, 30)], 5, 25) == 10
    assert cuts.Trial.union([[0, 10], [5, 15], [20, 30]]) == 25
