"""An exported folder on Hugging Face's Hub: `nanogpt export RUN --to DIR --push USER/NAME`.

The package huggingface_hub does it, if the user has it, with the token of `hf auth login`. We never
see the token. A new repository is private: its owner makes it public, on the Hub, when it is ready.
"""

import re
from pathlib import Path

from nanogpt_lib.machine.paths import command_line

MISSING = "the Hub needs one more package: pip install huggingface_hub"
LOG_IN = "log in first, with a token that may write: hf auth login"


def check_name(name: str) -> None:
    """Raises ValueError for what is no name of a repository, or if huggingface_hub is missing."""
    if not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name, re.ASCII):
        raise ValueError(f"push must be USER/NAME, as on the Hub, not {name!r}")
    try:
        import huggingface_hub  # noqa: F401
    except ImportError:
        raise ValueError(MISSING) from None


def push(folder: str | Path, name: str) -> str:
    """Uploads a folder as a model in one commit; returns its address.

    The repository is made if it is not there. Raises ValueError for a name that is none, and
    RuntimeError, which says what to do, if the Hub refuses or cannot be reached: the folder is
    untouched then.
    """
    check_name(name)
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    api = HfApi()
    again = f"The folder is written; later: {command_line('hf', 'upload', name, folder)}"
    try:
        made = api.create_repo(name, private=True, exist_ok=True)
        api.upload_folder(repo_id=name, folder_path=folder, commit_message="A model of nanogpt")
    except LocalTokenNotFoundError:
        raise RuntimeError(f"the Hub does not know you: {LOG_IN}. {again}") from None
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        why = LOG_IN if status in (401, 403) else str(error).strip().split("\n")[0]
        raise RuntimeError(f"the Hub refuses {name} (HTTP {status}): {why}. {again}") from error
    except Exception as error:  # of the network: its library has errors of its own
        raise RuntimeError(f"the Hub cannot be reached ({error}). {again}") from error
    return str(made)
