"""The encoder: transformer layers on packed tokens, which know nothing of tasks."""

import os

# oneDNN keeps the kernels that it made, those of each number of tokens, and batches seldom have the same number. Its
# usual 1,024 of them took 0.7 GB within a few epochs and made steps slower. It reads this at torch's first product.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128")
