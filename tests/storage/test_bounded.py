"""Files that expand to much more than their size are refused before they are expanded."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ripu_ray.storage.bounded import read_parquet
from tests.models.test_malicious import swollen_pickle

HOLE_BYTES = 2**34
MAX_GROWTH_MB = 150

CHILD = """
import json, sys
from pathlib import Path
from PIL import Image
import pyarrow.parquet, torch, safetensors.torch
from ripu_ray.annotation.coco import load
from ripu_ray.config.reading import read_yaml_file
from ripu_ray.data.labels import read_class_table
from ripu_ray.data.lists import read_names
from ripu_ray.data.pictures import read_image
from ripu_ray.errors import RipuError
from ripu_ray.models.checkpoints import load_checkpoint, load_safetensors
from ripu_ray.storage.checksums import read_json

def peak_mb():  # that of getrusage begins with the parent's
    line = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024

readers = {
    "yaml": [read_yaml_file], "json": [read_class_table, load, read_json], "parquet": [read_names], "txt": [read_names],
    "pt": [load_checkpoint], "safetensors": [load_safetensors], "png": [lambda path: read_image(path, None)],
}
before = peak_mb()
found = {}
for path in sorted(Path(sys.argv[1]).iterdir()):
    for read in readers[path.suffix[1:]]:
        try:
            read(path)
            line = "accepted"
        except RipuError as error:
            line = str(error)
        found.setdefault(path.name, []).append(line)
    found[path.name].append(peak_mb() - before)
    before = peak_mb()
print(json.dumps(found))
"""


def _write_bombs(folder: Path) -> None:
    for suffix in ("yaml", "json", "txt", "parquet", "pt", "safetensors", "png"):
        with (folder / f"hole.{suffix}").open("wb") as file:
            file.truncate(HOLE_BYTES)
    (folder / "flat.yaml").write_text("a: [" + "1," * 150_000 + "1]\n")
    (folder / "deep.json").write_text("[" * 10**6)
    repeated = pa.DictionaryArray.from_arrays(pa.array([0] * 10**5, pa.int32()), pa.array(["x" * 10_000]))
    pq.write_table(pa.table({"image": repeated}), folder / "texts.parquet", compression="zstd")
    few = pa.DictionaryArray.from_arrays(pa.array([0] * 3 * 10**6, pa.int32()), pa.array(["x"]))
    pq.write_table(pa.table({"image": few}), folder / "rows.parquet", compression="zstd")
    swollen_pickle(folder / "bytes.pt")
    header = b'{"w":' + b"[" * 90_000 + b"]" * 90_000 + b"}"
    (folder / "deep.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)


@pytest.mark.slow
def test_a_bomb_is_refused_in_one_line_before_it_fills_the_memory(tmp_path: Path) -> None:
    _write_bombs(tmp_path)
    done = subprocess.run([sys.executable, "-c", CHILD, str(tmp_path)], capture_output=True, text=True, check=True)
    for name, (*lines, growth_mb) in json.loads(done.stdout).items():
        assert growth_mb < MAX_GROWTH_MB, (name, growth_mb)
        for line in lines:
            assert name in line and "\n" not in line, line


def test_a_parquet_file_is_read_as_pyarrow_reads_it(tmp_path: Path) -> None:
    names = pa.array(["a", "b", "a"] * 30_000)
    table = pa.table({"name": names, "row": pa.array(range(90_000), pa.uint32()), "parts": [[1], [], [2, 3]] * 30_000})
    for kept in (table, table.slice(0, 0)):
        pq.write_table(kept, tmp_path / "names.parquet", compression="zstd")
        content = (tmp_path / "names.parquet").read_bytes()
        assert read_parquet(content).equals(pq.read_table(pa.BufferReader(content)))
        assert read_parquet(content, ["row"]).equals(table.select(["row"]).slice(0, len(kept)))
