"""The CPU image, built and run for real in a copy of the checkout: training, stopping, owners, the switch."""

import contextlib
import os
import pty
import re
import shutil
import subprocess
import threading
import time

import pytest

from conftest import REPO
from helpers.containers import require_engine

pytestmark = pytest.mark.docker

OWNER = 4321  # a user that exists neither here nor in the image


def checkout(folder):
    """A copy of the checkout that belongs to user 4321, with the CPU switch."""
    require_engine()
    if os.geteuid():
        pytest.skip("only root can give files to another user")
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    for name in subprocess.run(listed, cwd=REPO, capture_output=True, text=True, check=True).stdout.split("\0"):
        if name and (REPO / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPO / name, folder / name)
    (folder / ".env").write_text(f"ATTSCALE_USER={OWNER}:{OWNER}\n" + (REPO / "docker/cpu.env").read_text())
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, OWNER, OWNER)
    for parent in folder.parents[:3]:
        os.chmod(parent, 0o755)
    return folder


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """The CPU image, built from a copy of the checkout, which it returns."""
    folder = checkout(tmp_path_factory.mktemp("checkout") / "attscale")
    built = compose(folder, "build", "train", timeout=1500)
    assert built.returncode == 0, built.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def home(image):
    """That copy, with a small set."""
    small = compose(image, "run", "--rm", "prepare", "shapes", "--train", "12", "--val", "3")
    assert small.returncode == 0, small.stderr
    return image


def compose(folder, *arguments, timeout=600):
    command = ["docker", "compose", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=timeout)


def test_train_then_test(home):
    short = ("--max-iter", 30, "--snapshot-interval", 10)
    done = compose(home, "run", "--rm", "train", "shapes", *short, "--out", "runs/shapes_attention3_esupv/1")
    assert done.returncode == 0, done.stderr
    run = home / "runs/shapes_attention3_esupv/1"
    assert sorted(path.name for path in (run / "snapshots").iterdir()) == ["iter_00000010", "iter_00000020"]
    for path in [run, *run.rglob("*"), home / "data/shapes/list"]:
        assert (path.stat().st_uid, path.stat().st_gid) == (OWNER, OWNER), path
    tested = compose(home, "run", "--rm", "test", "shapes")
    assert tested.returncode == 0, tested.stderr
    assert "mean IOU" in tested.stdout
    weights = "runs/shapes_attention3_esupv/1/final.caffemodel"
    predicted = compose(home, "run", "--rm", "predict", "shapes", "--weights", weights, "--scores", "--out", "runs/p")
    assert predicted.returncode == 0, predicted.stderr
    refined = compose(home, "run", "--rm", "crf", "shapes", "--scores", "runs/p/scores", "--out", "runs/p/crf")
    assert refined.returncode == 0, refined.stderr
    scored = compose(home, "run", "--rm", "evaluate", "shapes", "--predictions", "runs/p/crf", "--crf")
    assert re.search(r"mean IOU +\d+\.\d\d", scored.stdout), scored.stderr
    shell = compose(home, "run", "--rm", "-T", "shell", "-c", "id -u; command -v g++ || echo no compiler")
    assert shell.stdout.split("\n")[:2] == [str(OWNER), "no compiler"]


def test_plain_caffe_trains_a_committed_net(home):
    """Caffe's own program is on the image's path, with what the layers in Python need."""
    short = "sed 's/^max_iter.*/max_iter: 2/' prototxt/shapes/attention3_esupv/solver.prototxt > data/solver.prototxt"
    line = f"{short} && caffe train --solver=data/solver.prototxt"
    done = compose(home, "run", "--rm", "-T", "shell", "-c", line)
    assert done.returncode == 0, done.stderr
    assert (home / "weights/shapes_attention3_esupv_iter_2.caffemodel").stat().st_uid == OWNER


def test_sigterm_takes_a_snapshot(home):
    """As `docker stop` sends it."""
    process = subprocess.Popen(
        ["docker", "compose", "run", "--rm", "--name", "attscale-test", "train", "shapes", "--out", "runs/stopped"],
        cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (home / "runs/stopped/log.jsonl").exists() or not (home / "runs/stopped/log.jsonl").stat().st_size:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    subprocess.run(["docker", "stop", "--time", "120", "attscale-test"], check=True, capture_output=True)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 143, err  # 128 + 15, as a shell says it
    assert "continue with: python tools/train.py --resume runs/stopped" in out
    assert len(list((home / "runs/stopped/snapshots").glob("iter_*"))) == 1


def test_ctrl_c_at_a_terminal_takes_a_snapshot(home):
    """A terminal of our own, into which the key is typed."""
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        ["docker", "compose", "run", "--rm", "train", "shapes", "--out", "runs/interrupted"],
        cwd=home, stdin=end, stdout=end, stderr=end, start_new_session=True,
    )  # fmt: skip
    os.close(end)
    said = bytearray()
    threading.Thread(target=listen, args=(terminal, said), daemon=True).start()
    log = home / "runs/interrupted/log.jsonl"
    deadline = time.monotonic() + 120
    while not log.exists() or not log.stat().st_size:
        assert time.monotonic() < deadline, said.decode()
        time.sleep(0.2)
    os.write(terminal, b"\x03")
    assert process.wait(timeout=120) == 130, said.decode()  # 128 + 2
    assert b"continue with: python tools/train.py --resume runs/interrupted" in said
    assert list((home / "runs/interrupted/snapshots").glob("iter_*"))


def listen(terminal, said):
    with contextlib.suppress(OSError):  # how a terminal ends
        while data := os.read(terminal, 4096):
            said.extend(data)


def test_voc_without_data_says_what_to_fetch(home):
    done = compose(home, "run", "--rm", "train", "voc")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(
        "error: data/VOC2012/list/train_aug.txt: no such list file: fetch VOCtrainval_11-May-2012.tar"
    )
    assert last.endswith("docker compose run prepare voc12)")
    assert not list((home / "runs").glob("voc12*"))


def test_a_folder_of_somebody_else_is_explained(home):
    done = compose(home, "run", "--rm", "--user", "99:99", "train", "shapes")
    assert done.returncode == 1
    assert f"put the line ATTSCALE_USER={OWNER}:{OWNER} into .env" in done.stderr.strip().splitlines()[-1]


def test_without_gpu_and_without_switch_one_line_says_what_to_do(home):
    """The message is the name of the service whose check fails."""
    if os.path.exists("/proc/driver/nvidia/version"):
        pytest.skip("this machine has a GPU's driver")
    there = subprocess.run(["docker", "image", "inspect", "attscale:cuda"], capture_output=True).returncode == 0
    if not there:  # it is never started: a name in its place keeps Compose from building it
        subprocess.run(["docker", "tag", "attscale:cpu", "attscale:cuda"], check=True)
    try:
        done = compose(home, "-f", "compose.yaml", "run", "--rm", "train", "shapes")
    finally:
        if not there:
            subprocess.run(["docker", "rmi", "attscale:cuda"], check=True, capture_output=True)
    assert done.returncode != 0
    assert 'service "no-gpu-here--cp-docker-cpu.env-to-.env" didn\'t complete' in done.stderr.strip().splitlines()[-1]


def test_the_demo_says_what_make_demo_says(image, tmp_path_factory):
    """The numbers in the README are those of `make demo`."""
    with open("/proc/cpuinfo") as cpuinfo:
        if " avx2" not in cpuinfo.read():
            pytest.skip("without AVX2 OpenBLAS has other kernels, which give other numbers")
    folder = checkout(tmp_path_factory.mktemp("demo") / "attscale")
    done = compose(folder, "run", "--rm", "demo", timeout=2400)
    assert done.returncode == 0, done.stderr[-3000:]
    readme = (REPO / "README.md").read_text()
    merged, refined = re.search(r"\*\*(\d\d\.\d\d)\*\*", readme)[1], re.search(r"dense CRF.*\| (\d\d\.\d\d)", readme)[1]
    last = [line.split() for line in done.stdout.strip().splitlines()[-2:]]
    assert [line[:-3] for line in last] == [["with", "dense", "CRF", refined], ["mean", "IOU", merged]]
    assert (folder / "runs/demo/report.html").stat().st_uid == OWNER


def test_the_health_check_is_a_forward_pass(home):
    done = subprocess.run(
        ["docker", "run", "--rm", "attscale:cpu", "health"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    whoami = subprocess.run(
        ["docker", "run", "--rm", "--entrypoint", "id", "attscale:cpu", "-u"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert whoami.stdout.strip() == "65534"
