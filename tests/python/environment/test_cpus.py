"""How many threads whit takes where CPUs are few: affinity masks, cgroup quotas, no /proc, no /sys, no threads."""

from __future__ import annotations

import os
import textwrap

import pytest
from isolated import need_mounts, run_python

#: Loads a model, runs it, prints its threads and the CPUs that whit counts.
REPORT = textwrap.dedent("""
    import os, sys
    import numpy as np
    import whit
    from whit import _core
    with whit.load(sys.argv[1], threads=1) as model:
        wanted = model(np.ones((1, 20, 20, 3), np.float32)).tobytes()
    with whit.load(sys.argv[1]) as model:
        assert model(np.ones((1, 20, 20, 3), np.float32)).tobytes() == wanted
        print(model.threads, _core.cpu()["available_cpus"])
""")
CPUS = len(os.sched_getaffinity(0))


def report(path, *mounts: str, **variables: str) -> tuple[int, int]:
    """Threads of a model and available CPUs, in a process that sees these mounts."""
    threads, cpus = run_python(REPORT, path, mounts=mounts, **variables).split()
    return int(threads), int(cpus)


def test_one_cpu_in_the_affinity_mask(conv_file):
    one = "import os; os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})\n"
    assert run_python(one + REPORT, conv_file) == "1 1\n"


def cgroup(tmp_path, membership: str, files: dict[str, str]) -> list[str]:
    """Mounts that put a process into these cgroups: the text of /proc/self/cgroup, and files below /sys/fs/cgroup."""
    root = tmp_path / "cgroup"
    root.mkdir()
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (tmp_path / "membership").write_text(membership)
    return [f"mount --bind {root} /sys/fs/cgroup", f"mount --bind {tmp_path / 'membership'} /proc/$$/cgroup"]


V1 = "5:memory:/app\n4:cpu,cpuacct:/app\n1:name=systemd:/\n"
CGROUPS = {
    "v2 half a CPU": ("0::/app\n", {"app/cpu.max": "50000 100000\n"}, 1),
    "v2 a hundredth": ("0::/app\n", {"app/cpu.max": "1000 100000\n"}, 1),
    "v2 a parent limits": ("0::/a/b\n", {"a/cpu.max": "90000 100000\n", "a/b/cpu.max": "max 100000\n"}, 1),
    "v2 the root limits": ("0::/a\n", {"cpu.max": "20000 100000\n"}, 1),
    "v2 one and a half": ("0::/app\n", {"app/cpu.max": "150000 100000\n"}, 2),
    "v2 no limit": ("0::/app\n", {"app/cpu.max": "max 100000\n"}, None),
    "v2 more than there are": ("0::/\n", {"cpu.max": "99900000 100000\n"}, None),
    "v2 huge": ("0::/\n", {"cpu.max": "99999999999999999999999 1\n"}, None),
    "v1 half a CPU": (V1, {"cpu/app/cpu.cfs_quota_us": "50000\n", "cpu/app/cpu.cfs_period_us": "100000\n"}, 1),
    "v1 no limit": (V1, {"cpu/app/cpu.cfs_quota_us": "-1\n", "cpu/app/cpu.cfs_period_us": "100000\n"}, None),
    "v1 a quota alone": (V1, {"cpu/app/cpu.cfs_quota_us": "50000\n"}, None),
    "v1 and v2": (V1 + "0::/x\n", {"x/cpu.max": "10000 100000\n", "cpu/app/cpu.cfs_quota_us": "-1\n"}, 1),
    "no such files": ("0::/gone\n", {}, None),
    "empty file": ("0::/app\n", {"app/cpu.max": ""}, None),
    "no numbers": ("0::/app\n", {"app/cpu.max": "many more\n"}, None),
    "a period of 0": ("0::/app\n", {"app/cpu.max": "50000 0\n"}, None),
    "a negative period": ("0::/app\n", {"app/cpu.max": "50000 -100000\n"}, None),
    "a quota without a period": ("0::/app\n", {"app/cpu.max": "50000\n"}, None),
    "no colons": ("nothing\n:\n::\n\n", {}, None),
    "not text": ("\0\xff\n0::/app", {"app/cpu.max": "50000 100000"}, 1),
    "a directory": ("0::/app\n", {"app/cpu.max/file": ""}, None),
}


@pytest.mark.parametrize("name", CGROUPS)
def test_cgroup_quota(name, tmp_path, conv_file):
    need_mounts()
    membership, files, limit = CGROUPS[name]
    wanted = CPUS if limit is None else min(limit, CPUS)
    assert report(conv_file, *cgroup(tmp_path, membership, files)) == (wanted, wanted)


def test_no_proc(conv_file):
    need_mounts()
    assert report(conv_file, "mount -t tmpfs none /proc") == (CPUS, CPUS)


def test_no_sys_and_so_no_huge_pages(conv_file):
    need_mounts()
    assert report(conv_file, "mount -t tmpfs none /sys", "mount -t tmpfs none /proc") == (CPUS, CPUS)


def test_huge_pages_are_off(conv_file):
    """As on kernels without transparent huge pages: prctl(PR_SET_THP_DISABLE) for the whole process."""
    switch = "import ctypes; assert ctypes.CDLL(None).prctl(41, 1, 0, 0, 0) == 0\n"
    assert run_python(switch + REPORT, conv_file) == f"{CPUS} {CPUS}\n"


def test_threads_that_do_not_start(conv_file):
    """RLIMIT_NPROC does not bind root, so the process becomes another user first."""
    script = """
        import os, resource, sys, threading
        from pathlib import Path
        import numpy as np
        import whit
        file = Path(sys.argv[1]).read_bytes()
        x = np.ones((2, 30, 30, 3), np.float32)
        wanted = whit.load(file, threads=4)(x).tobytes()
        if os.getuid() == 0:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
        try:
            threading.Thread(target=int).start()
        except RuntimeError:
            pass
        else:
            sys.exit(print("unlimited"))
        model = whit.load(file, threads=4)
        assert model.threads == 1
        for _ in range(3):
            assert model(x).tobytes() == wanted
        print("one thread")
    """
    said = run_python(script, conv_file)
    if said == "unlimited\n":
        pytest.skip("RLIMIT_NPROC does not bind here")
    assert said == "one thread\n"
