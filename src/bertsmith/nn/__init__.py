"""The encoder: transformer layers on packed tokens, which know nothing of tasks."""

import os

# Kernels are made for each number of tokens, and batches seldom have the same. oneDNN keeps 1,024 of them, and torch as
# many again in a cache of its own: a few epochs of short texts filled 0.7 GB, and steps took a sixth longer than with
# so few. Both are read at torch's first product.
for _cache in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
    os.environ.setdefault(_cache, "128")
