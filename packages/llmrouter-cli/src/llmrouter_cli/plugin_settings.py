"""Change the settings of plugins, and leave the rest of their file as its owner wrote it."""

from __future__ import annotations

from pathlib import Path

import tomlkit
import tomlkit.exceptions

from llmrouter.errors import ConfigError
from llmrouter.files import replacing
from llmrouter.plugin_system.metadata import normalize
from llmrouter.plugin_system.settings import FILE, USER_FILE


def settings_file(project: bool) -> Path:
    """Return the file of the project in the current folder, or the user's."""
    return Path(FILE).absolute() if project else USER_FILE.expanduser()


def set_blocked(path: Path, name: str, blocked: bool) -> bool:
    """Put a name on a file's list of blocked plugins, or take it off; return whether that changed it.

    Raises:
        ConfigError: The file is malformed, or cannot be written.
    """
    try:
        document = tomlkit.parse(path.read_text("utf-8")) if path.exists() else tomlkit.document()
        plugins = document.setdefault("plugins", tomlkit.table())
        listed = plugins.setdefault("block", tomlkit.array())
        there = [number for number, one in enumerate(listed) if normalize(str(one)) == normalize(name)]
        if bool(there) == blocked:
            return False
        if blocked:
            listed.append(name)
        for number in reversed(there):
            del listed[number]
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as stream:
            stream.write(tomlkit.dumps(document).encode())
    except (tomlkit.exceptions.TOMLKitError, UnicodeDecodeError, TypeError, AttributeError) as error:
        raise ConfigError(path, f"is malformed: {error}") from error
    except OSError as error:
        raise ConfigError(path, f"cannot be written: {error.strerror}") from error
    return True
