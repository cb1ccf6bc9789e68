"""A real browser for tests: Chromium, headless, which asks nobody on the network for anything."""

import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
CHROMIUM = next((path for name in NAMES if (path := shutil.which(name))), None)
# For root, for containers, and so that the browser asks nobody on the network for anything.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WITHOUT = f"no browser: none of {', '.join(NAMES)} is on the PATH"
