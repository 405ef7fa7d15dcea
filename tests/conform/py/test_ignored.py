"""A few rows of ../ignore.py; it runs all of them by itself."""
import pytest

import ignore

ignore.load()
FEW = ignore.ROWS[::len(ignore.ROWS) // 6]


@pytest.mark.parametrize("row", FEW, ids=[f"{name}: fails without {field}" for _, field, name in FEW])
def test_check(row, site):
    ignore.sees(site, row)
