"""What Tiny Shakespeare is. `fetch` finds it: on the disk, on the web, or in a package."""

import hashlib

SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
N_BYTES = 1_115_394
FILE_NAME = "tinyshakespeare.txt"


def is_corpus(data: bytes) -> bool:
    """Whether these bytes are Tiny Shakespeare, by their sha256."""
    return hashlib.sha256(data).hexdigest() == SHA256
