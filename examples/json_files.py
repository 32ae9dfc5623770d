"""JSON files that a kill leaves whole."""

import json
import os


def write(path, content):
    """Writes a JSON file beside its place, and moves it there."""
    temporary = path.with_name(f"writing-{path.name}")
    temporary.write_text(json.dumps(content, indent=1) + "\n")
    os.replace(temporary, path)
