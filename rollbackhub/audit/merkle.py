"""The Merkle tree of RFC 6962 (RFC 9162 §2.1), without any storage: bytes in, hashes out.

The frontier of a tree is the list of roots of its perfect subtrees, largest first: one for each bit that is set in its size.
It is all that is needed to append the next leaf and to compute the root.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

LEAF_PREFIX = b"\x00"
NODE_PREFIX = b"\x01"
EMPTY_ROOT = hashlib.sha256(b"").digest()

Frontier = list[bytes]


def leaf_hash(entry: bytes) -> bytes:
    """The hash of one log entry (32 bytes)."""
    return hashlib.sha256(LEAF_PREFIX + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node from those of its two children."""
    return hashlib.sha256(NODE_PREFIX + left + right).digest()


def append_leaf(frontier: Sequence[bytes], size: int, leaf: bytes) -> Frontier:
    """The frontier of the tree with one leaf more. `size` is the number of leaves before.

    Raises ValueError when the frontier cannot be one of a tree of that size.
    """
    check_frontier(frontier, size)
    grown = list(frontier)
    carried = leaf
    while size & 1:
        carried = node_hash(grown.pop(), carried)
        size >>= 1
    grown.append(carried)
    return grown


def root_of(frontier: Sequence[bytes]) -> bytes:
    """The tree's root; of the empty tree, the hash of nothing."""
    if not frontier:
        return EMPTY_ROOT
    root = frontier[-1]
    for subtree in reversed(frontier[:-1]):
        root = node_hash(subtree, root)
    return root


def subtree_ranges(size: int) -> list[tuple[int, int]]:
    """The leaf positions `[start, end)` under each entry of the frontier of a tree of this size."""
    ranges = []
    start = 0
    for bit in range(size.bit_length() - 1, -1, -1):
        if size >> bit & 1:
            ranges.append((start, start + (1 << bit)))
            start += 1 << bit
    return ranges


def check_frontier(frontier: Sequence[bytes], size: int) -> None:
    """Raises ValueError when a frontier has the wrong number or length of hashes for a tree of this size."""
    if size < 0 or len(frontier) != size.bit_count():
        raise ValueError(f"A tree of {size} leaves has {max(size, 0).bit_count()} perfect subtrees, not {len(frontier)}")
    if any(len(subtree) != 32 for subtree in frontier):
        raise ValueError("A subtree's hash has 32 bytes")
