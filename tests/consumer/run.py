"""Uses abyme as other projects do, each way in a project outside the tree: run.py BUILD_DIR [WAY...]

Of the build tree it takes the compiler and where LibTorch and nlohmann_json are.
"""

import concurrent.futures
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

here = pathlib.Path(__file__).resolve().parent
root = here.parent.parent
build = pathlib.Path(sys.argv[1]).resolve()
ways = sys.argv[2:] or ["package", "subdirectory", "fetch", "single-header"]
cache = (build / "CMakeCache.txt").read_text()
known = ["CMAKE_CXX_COMPILER", "Torch_DIR", "nlohmann_json_DIR"]
found = [f"-D{name}={re.search(rf'^{name}:.*?=(.*)$', cache, re.M)[1]}" for name in known]


def call(*command):
    result = subprocess.run([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{result.stdout}")
    return result.stdout


def use(way, folder):
    start = time.monotonic()
    shutil.copytree(here, folder / "project")
    abyme = root
    if way == "package":
        call("cmake", build)  # headers may have come since
        call("cmake", "--install", build, "--prefix", folder / "prefix")
    elif way == "single-header":
        abyme = folder / "single"
        (abyme / "abyme").mkdir(parents=True)
        call(sys.executable, root / "cmake" / "amalgamate.py", abyme / "abyme" / "abyme.hpp")
    call("cmake", "-S", folder / "project", "-B", folder / "build", f"-DWAY={way}", f"-DABYME={abyme}",
         f"-DCMAKE_PREFIX_PATH={folder / 'prefix'}", *found)
    call("cmake", "--build", folder / "build")
    output = call(folder / "build" / "consumer")
    return f"{output.strip()} (in {time.monotonic() - start:.0f} s)"


with tempfile.TemporaryDirectory() as temporary, concurrent.futures.ThreadPoolExecutor(2) as pool:
    folders = [pathlib.Path(temporary) / way for way in ways]
    results = [pool.submit(use, way, folder) for way, folder in zip(ways, folders)]
    failed = 0
    for way, result in zip(ways, results):
        failed += result.exception() is not None
        print(f"{way}: {result.exception() or result.result()}", flush=True)
print(f"{len(ways) - failed} passed, {failed} failed")
sys.exit(failed > 0)
