"""Stands in for the build backend while `pip download` fetches an sdist.

pip wants the metadata of what it downloads and would run the package's own backend for it. We
only want the file: pip checks its hash first, then asks this stub, and no foreign code runs.
tools/fetch.py names the package in TRESOR_STUB_NAME and TRESOR_STUB_VERSION.
"""
