#!/bin/bash
# Packs the extension: one archive that Chromium and Firefox take, target/extension/haul-VERSION.zip. The same files make the
# same archive.
set -euo pipefail
cd "$(dirname "$0")"
exec python3 - ../target/extension <<'PYTHON'
import json, pathlib, sys, zipfile

version = json.loads(pathlib.Path("manifest.json").read_text())["version"]
target = pathlib.Path(sys.argv[1])
target.mkdir(parents=True, exist_ok=True)
files = [path for pattern in ("*.json", "*.js", "*.html", "*.css", "icons/*.png") for path in pathlib.Path().glob(pattern)]
with zipfile.ZipFile(target / f"haul-{version}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
    for path in sorted(files):
        archive.writestr(zipfile.ZipInfo(str(path)), path.read_bytes(), zipfile.ZIP_DEFLATED)
print((target / f"haul-{version}.zip").resolve())
PYTHON
