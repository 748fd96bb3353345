"""A child that speaks the shapes of `skyquilt engine` and does nearly nothing: for tests of the server alone."""

from __future__ import annotations

import json
import os
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Any

STEPS = 40
STEP_S = 0.02
SIZE = (700, 600)  # width, height
SCHEMA = Path(__file__).resolve().parents[3] / "docs" / "reference" / "engine.schema.json"
LOCK = threading.Lock()
CANCELLED: set[str] = set()
WATCHES: dict[str, dict[str, Any]] = {}


def say(message: dict[str, Any]) -> None:
    with LOCK:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


def tell(number: str, stage: str, percent: float, **event: Any) -> None:
    say({"id": number, "progress": {"stage": stage, "percent": percent}, "event": {"phase": stage, **event}})


def stack(number: str, request: dict[str, Any]) -> None:
    """Count to STEPS, remembering on the disk how far; what comes out depends on the request and on all steps."""
    kept = Path(request["out"]) / "steps.txt"
    kept.parent.mkdir(parents=True, exist_ok=True)
    done = len(kept.read_text()) if kept.exists() else 0
    tell(number, "measure", 0.1, kind="phase", total=3)
    tell(number, "measure", 0.2, kind="left_out", message="b.fit: trailed: eccentricity 0.72 > 0.60")
    tell(number, "integrate", 0.3, kind="phase", total=STEPS, done=done)
    for step in range(done, STEPS):
        if number in CANCELLED:
            say({"id": number, "ok": False, "error": "stopped", "hint": "", "kind": "Interrupted", "cancelled": True})
            return
        if request.get("recipe", {}).get("keep") == 0.5:
            os._exit(7)  # an engine that dies whatever it is given
        time.sleep(STEP_S)
        with kept.open("a") as file:
            file.write("x")
        tell(number, "integrate", 0.3 + 0.6 * (step + 1) / STEPS, kind="progress", done=step + 1, total=STEPS)
    (kept.parent / "result.txt").write_text(json.dumps([request["folder"], request["frame_list"], kept.read_text()]))
    say({"id": number, "ok": True, "data": {"stacks": [{"name": "A", "outputs": {}}], "failures": []}})


def watch(number: str, request: dict[str, Any]) -> None:
    """Let a frame come now and then until it is told to finish."""
    told = WATCHES[number] = {"excluded": set(), "finish": False}
    n = 0
    while not told["finish"]:
        if number in CANCELLED:
            say({"id": number, "ok": False, "error": "stopped", "hint": "", "kind": "Interrupted", "cancelled": True})
            return
        n += 1
        point = {"n_in": n, "exposure_s": 10.0 * n, "noise_adu": 50 / n**0.5, "expected_adu": 49 / n**0.5}
        data = {**point, "group": "A", "n_left_out": 0, "values": "x.npy", "excluded": sorted(told["excluded"])}
        data["frames"] = [{"file": f"{n}.fit", "status": "stacked", "fwhm_px": 3.0}]
        data["history"] = [point] if n == 1 else []
        tell(number, "live", 0.1, kind="progress", done=n, data=data)
        time.sleep(STEP_S)
    (Path(request["out"]) / "result.txt").write_text(json.dumps([request["folder"], sorted(told["excluded"])]))
    say({"id": number, "ok": True, "data": {"stacks": [{"name": "A", "outputs": {}}], "failures": []}})


def adjust(request: dict[str, Any]) -> Any:
    told = WATCHES[request["job"]]
    told["excluded"] = (told["excluded"] | set(request.get("exclude", []))) - set(request.get("include", []))
    told["finish"] = request.get("finish", False)
    return {"excluded": sorted(told["excluded"]), "finish": told["finish"]}


def sessions(folder: str) -> dict[str, Any]:
    lights = sorted(Path(folder).glob("*.fit"))
    group = {
        "name": "A",
        "target": "A",
        "filter": None,
        "n_lights": len(lights),
        "exposure_s": 10.0 * len(lights),
        "width": SIZE[0],
        "height": SIZE[1],
        "n_planes": 1,
        "bayer": "GRBG",
    }
    return {
        "folder": folder,
        "device": "generic",
        "groups": [group],
        "calibration": {"darks": 0, "flats": 0, "biases": 0, "flat_darks": 0, "masters": 0},
        "left_out": [{"path": f"{folder}/x.txt", "code": "no_image", "reason": "no image"}],
        "notes": [],
    }


def frames(request: dict[str, Any]) -> dict[str, Any]:
    lights = sorted(Path(request["folder"]).glob("*.fit"))
    found = [{"path": str(path), "file": path.name, "status": "stacked", "n_stars": 5} for path in lights]
    return {"scored": request["scored"], "frames": found}


def tile(request: dict[str, Any]) -> dict[str, Any]:
    """Write half floats that tell their place: x / 1024 + y."""
    width, height = (
        min(512, -(-side >> request["level"]) - 512 * k)
        for side, k in zip(SIZE, (request["column"], request["row"]), strict=True)
    )
    rows = [[(x - 1) / 1024 for x in range(width + 2)] for _ in range(height + 2)]
    data = b"".join(struct.pack(f"<{len(row)}e", *row) for row in rows)
    Path(request["outputPath"]).write_bytes(data)
    return {"width": width + 2, "height": height + 2, "channels": 1, "offset": [10.0], "scale": [2.0]}


def preview(request: dict[str, Any]) -> dict[str, Any]:
    Path(request["outputPath"]).write_bytes(bytes([200, 100, 50, 255]) * 60)
    return {"path": request["outputPath"], "width": 10, "height": 6}


def read_fields() -> dict[str, tuple[set[str], set[str]]]:
    """Return which fields each command has, and which it must have, by the schema of the true engine."""
    models = json.loads(SCHEMA.read_text())["$defs"].values()
    requests = [model["properties"] | {"": model["required"]} for model in models if "cmd" in model["properties"]]
    return {one["cmd"]["const"]: (set(one) - {""}, set(one[""])) for one in requests}


FIELDS = read_fields()


def must_fit(request: dict[str, Any]) -> None:
    known, needed = FIELDS[request["cmd"]]
    if not needed <= set(request) <= known:
        raise ValueError(f"{request['cmd']}: not its fields: {sorted(set(request) ^ needed)}")


def answer(request: dict[str, Any]) -> Any:
    cmd = request["cmd"]
    if cmd == "load":
        Path(request["path"]).stat()
        return {"imageId": "image-1"}
    if cmd == "imageInfo":
        return {"width": SIZE[0], "height": SIZE[1], "channels": 1}
    if cmd == "autoStretch":
        one = [0.25] if not request["linked"] else 0.25
        return {"shadows": one, "midtones": one, "highlights": one}
    if cmd == "probe":
        return {"values": [float(request["x"])], "ra_deg": None, "dec_deg": None}
    if cmd == "save":
        told = f"saved as {request['format']}\n{json.dumps(request['stretch'])}"
        Path(request["outputPath"]).write_bytes(told.encode())
        return None
    if cmd == "cancel":
        CANCELLED.add(request["job"])
        return None
    table = {"tile": tile, "preview": preview, "frames": frames, "adjust": adjust}
    if cmd in table:
        return table[cmd](request)
    if cmd == "sessions":
        return sessions(request["folder"])
    if cmd in ("release", "subscribe"):
        return None
    if cmd in ("plan", "mosaic"):
        return {"plans": [], "failures": []}
    raise KeyError(cmd)


def main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        number = request["id"]
        try:
            must_fit(request)
            if request["cmd"] in ("stack", "watch"):
                work = {"stack": stack, "watch": watch}[request["cmd"]]
                threading.Thread(target=work, args=(number, request), daemon=True).start()
                continue
            say({"id": number, "ok": True, "data": answer(request)})
        except Exception as error:
            say({"id": number, "ok": False, "error": f"{type(error).__name__} {error}", "hint": "", "kind": "x"})


if __name__ == "__main__":
    main()
