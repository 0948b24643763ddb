"""Writes the corpus of transcode's tests as files that a target reads: seed.py TARGET FOLDER."""

import pathlib
import re
import sys

target, folder = sys.argv[1], pathlib.Path(sys.argv[2]) / sys.argv[1]
corpus = pathlib.Path(__file__).parent.parent / "libs/transcode/tests/it/corpus"
if target == "routes":
    seeds = {f"line{i}": line.encode() for i, line in enumerate((corpus / "paths.txt").read_text().splitlines())}
elif target == "wire":
    seeds = {f.stem: bytes.fromhex(re.sub(r"[^0-9a-fA-F]", "", f.read_text())) for f in (corpus / "wire").iterdir()}
else:
    seeds = {f.stem: f.read_bytes() for f in (corpus / "json").iterdir()}
folder.mkdir(parents=True, exist_ok=True)
for name, seed in seeds.items():
    (folder / name).write_bytes(seed)
print(f"{len(seeds)} seeds in {folder}")
