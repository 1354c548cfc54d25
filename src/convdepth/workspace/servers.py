"""Prefect's servers on this machine and its settings, without Prefect and its seconds of import."""

import contextlib
import itertools
import logging
import os
import re
import sys
import tempfile
import tomllib
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.request import getproxies_environment

import psutil
from pydantic import ValidationError

from convdepth.core.errors import MachineError, ParameterError
from convdepth.workspace.dvc import without_credentials

LOCAL = ("127.0.0.1", "localhost", "::1")  # names of this machine, which no proxy reaches
SETTINGS = "prefect.settings.models."  # modules of the classes of settings


def prefect_home() -> Path:
    """Return Prefect's folder: its database, its profiles, and the files of the server of `ui`."""
    return Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()


def require_home(home: Path) -> None:
    """Raise a `MachineError` if Prefect's folder cannot be written."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as error:
        raise MachineError(
            f"PREFECT_HOME={home}: cannot be written: {error.strerror or error}. Set PREFECT_HOME "
            "to a folder that you may write. `dvc repro` needs none."
        ) from error


def bypass_proxies() -> None:
    """Let this process and its children reach servers of this machine without a proxy.

    The user's own exceptions stay. Prefect's client, its websockets and httpx read the variables.
    """
    given = [os.environ.get(name, "") for name in ("no_proxy", "NO_PROXY")]
    entries = [entry.strip() for entry in ",".join(given).split(",") if entry.strip()]
    if "*" in entries:
        return
    value = ",".join(dict.fromkeys([*entries, *LOCAL]))
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = value
    proxies = getproxies_environment()  # lower case, without the ending
    for name in ("http", "https", "all"):
        if proxies.get(name, "").startswith("socks") and not find_spec("socksio"):
            raise MachineError(
                f"{name.upper()}_PROXY: a SOCKS proxy needs the package socksio. Run "
                "`pip install socksio`, or unset the variable."
            )


@contextlib.contextmanager
def explained_settings() -> Iterator[None]:
    """Turn errors of Prefect's settings, which its first import reads, into lines for users."""
    profiles = Path(os.environ.get("PREFECT_PROFILES_PATH") or prefect_home() / "profiles.toml")
    files = [profiles, Path("prefect.toml"), Path("pyproject.toml")]
    texts = {file: text for file in files if (text := _read_toml(file))}
    logging.disable(logging.ERROR)  # Prefect also logs a wrong value, in many lines
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Failed to create the Prefect home")
            yield
    except ValidationError as error:
        lines = {_explain(error.title, detail, texts): None for detail in error.errors()}
        raise ParameterError("\n".join(filter(None, lines))) from None
    except Exception as error:
        if type(error).__name__ != "SettingsError":  # a value that is not JSON
            raise
        field = str(error).partition('"')[2].partition('"')[0].upper()
        names = [name for name in os.environ if re.fullmatch(f"PREFECT_(.*_)?{field}", name)]
        raise ParameterError(
            f"{' or '.join(names) or 'Prefect'}: {error}. Expected JSON. Correct or unset it."
        ) from None
    finally:
        logging.disable(logging.NOTSET)


def _read_toml(file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8")
        tomllib.loads(text)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        raise MachineError(f"{file}: cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise ParameterError(
            f"{file}: not valid TOML: {error}. Correct it, or move it away."
        ) from error
    return text


def _explain(title: str, detail: Any, texts: dict[Path, str]) -> str:
    """Describe one invalid value of the settings class ``title`` by its variable and its place."""
    if detail["type"] == "default_factory_not_called":
        return ""  # follows from another mistake
    models = (vars(each) for name, each in sys.modules.items() if name.startswith(SETTINGS))
    prefix = next((each[title].model_config["env_prefix"] for each in models if title in each), "")
    field = str(next(iter(detail["loc"]), "")).upper()
    name = field if field.startswith("PREFECT_") else f"{prefix}{field}"
    found = any(each.upper() == name for each in os.environ)
    word = re.compile(rf"\b({name}|{re.escape(field)})\b", re.IGNORECASE)
    place = next((str(file) for file, text in texts.items() if word.search(text)), None)
    where = f"`unset {name}`" if found or not place else f"correct {place}"
    given = detail["input"]
    got = f", got {given!r:.100}" if isinstance(given, str | int | float) else ""
    return without_credentials(f"{name}: {detail['msg']}{got}. Correct the value, or {where}.")


def api_url(host: str, port: int | str) -> str:
    """Return the address of a server's API; one that listens on all addresses is on loopback."""
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://{f'[{reached}]' if ':' in reached else reached}:{port}/api"


def running_server(pid_file: Path) -> str | None:
    """Return the address of the API of the server whose process id a file holds, if it runs."""
    try:
        command = psutil.Process(int(pid_file.read_text(encoding="utf-8"))).cmdline()
    except (OSError, ValueError, psutil.Error):
        return None
    options = dict(itertools.pairwise(command))
    if "prefect" not in " ".join(command) or not {"--host", "--port"} <= options.keys():
        return None  # another program has this process id by now
    return api_url(options["--host"], options["--port"])
