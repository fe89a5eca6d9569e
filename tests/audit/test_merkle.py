"""The tree against the vectors of the certificate-transparency project and the recursive definition of RFC 9162 §2.1.1."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollbackhub.audit.merkle import EMPTY_ROOT, append_leaf, check_frontier, leaf_hash, node_hash, root_of, subtree_ranges

VECTOR_LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
VECTOR_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def grow(entries: list[bytes]) -> list[bytes]:
    """The frontier after these entries."""
    frontier: list[bytes] = []
    for size, entry in enumerate(entries):
        frontier = append_leaf(frontier, size, leaf_hash(entry))
    return frontier


def naive_root(entries: list[bytes]) -> bytes:
    """MTH of RFC 9162 §2.1.1, word for word."""
    if not entries:
        return hashlib.sha256().digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    split = 1
    while split * 2 < len(entries):
        split *= 2
    return hashlib.sha256(b"\x01" + naive_root(entries[:split]) + naive_root(entries[split:])).digest()


def test_root_of_no_leaves_is_hash_of_nothing() -> None:
    assert root_of([]) == EMPTY_ROOT == bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")


@pytest.mark.parametrize("size", range(1, 9))
def test_root_of_vectors_matches(size: int) -> None:
    assert root_of(grow([bytes.fromhex(leaf) for leaf in VECTOR_LEAVES[:size]])).hex() == VECTOR_ROOTS[size - 1]


def test_leaf_and_node_hash_have_different_prefixes() -> None:
    assert leaf_hash(b"ab") == hashlib.sha256(b"\x00ab").digest()
    assert node_hash(b"a", b"b") == hashlib.sha256(b"\x01ab").digest()


@given(st.lists(st.binary(max_size=8), max_size=70))
def test_root_of_any_entries_is_the_recursive_one(entries: list[bytes]) -> None:
    assert root_of(grow(entries)) == naive_root(entries)


@given(st.lists(st.binary(max_size=8), min_size=1, max_size=70))
def test_frontier_is_the_roots_of_the_perfect_subtrees(entries: list[bytes]) -> None:
    ranges = subtree_ranges(len(entries))
    assert [naive_root(entries[start:end]) for start, end in ranges] == grow(entries)
    assert [ranges[0][0], ranges[-1][1]] == [0, len(entries)]


@pytest.mark.parametrize(("frontier", "size"), [([b"x" * 32], 3), ([], 1), ([b"x" * 32], 0), ([b"short"], 1), ([], -1)])
def test_frontier_of_another_size_is_refused(frontier: list[bytes], size: int) -> None:
    with pytest.raises(ValueError, match=r"perfect subtrees|32 bytes"):
        check_frontier(frontier, size)
    with pytest.raises(ValueError, match=r"perfect subtrees|32 bytes"):
        append_leaf(frontier, size, b"x" * 32)
