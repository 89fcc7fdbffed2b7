"""The stores of checkpoints: a folder, and S3 as moto serves it on this machine."""

import errno
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import s3fs
from moto.server import ThreadedMotoServer

from anabranch.errors import CheckpointError, ConfigError, StoreUnavailable
from config.loading import build
from consumers.checkpoint import contents_of
from consumers.stores import CheckpointStore, store_of
from consumers.stores.files import FolderBlobs, RealFiles
from consumers.stores.manifest import STRANGER_S, digest

BUCKET = "s3://checkpoints"


def store_at(address: str, *, keep: int = 2) -> CheckpointStore:
    """The store of a model, as the commands make it."""
    table = {"name": "m", "task": "binary", "model": {"factory": "a:b"}}
    return store_of(build({**table, "checkpoint": {"store": address, "keep": keep}}))


@pytest.fixture(scope="module")
def s3_address() -> Iterator[str]:
    """An S3 on a free port of the loopback."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty bucket."""
    where = {"AWS_ENDPOINT_URL": s3_address, "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in {**where, "AWS_ACCESS_KEY_ID": "one", "AWS_SECRET_ACCESS_KEY": "two"}.items():
        monkeypatch.setenv(name, value)
    files = s3fs.S3FileSystem(skip_instance_cache=True)
    files.mkdir(BUCKET)
    yield BUCKET
    files.rm(BUCKET, recursive=True)


@pytest.fixture(params=["a folder", "file://", "s3://"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where each kind of store lies, in turn."""
    if request.param == "s3://":
        bucket: str = request.getfixturevalue("s3")
        return f"{bucket}/some/prefix/"
    return str(tmp_path / "store") if request.param == "a folder" else f"file://{tmp_path}/store"


def overwrite(store: CheckpointStore, name: str, change: Callable[[bytes], bytes]) -> None:
    """Change what lies in the store, behind its back."""
    found = store.blobs.read(name)
    assert found is not None
    store.blobs.write(name, change(found))


def names(store: CheckpointStore) -> set[str]:
    """The blobs that lie in the store."""
    return {name.removeprefix("blobs/") for name in store.blobs.written_s()}


def checkpointed(store: CheckpointStore, *blobs: bytes) -> list[str]:
    """Put and record them, each the parent of the next; their names."""
    known = [digest(blob) for blob in blobs]
    for n, blob in enumerate(blobs):
        store.put(known[n], blob)
        store.record({"sha": known[n], "parent": known[n - 1] if n else "", "number": n})
    return known


def test_what_was_put_is_got_by_another_process(address: str) -> None:
    """Blobs and manifest are there for whoever opens the store next."""
    (sha,) = checkpointed(store_at(address), b"state")
    another = store_at(address)
    assert another.get(sha) == b"state"
    assert another.manifest() == [{"sha": sha, "parent": "", "number": 0}]


def test_an_empty_store_has_an_empty_manifest(address: str) -> None:
    """The very first start is no error."""
    assert store_at(address).manifest() == []


def test_blobs_that_no_kept_entry_names_go(address: str) -> None:
    """The parent of the newest is always kept: it is what a torn blob falls back to."""
    store = store_at(address, keep=2)
    known = checkpointed(store, *(b"%d" % n for n in range(6)))
    assert names(store) == set(known[3:])  # two entries, and the parent of the older one
    assert [entry["number"] for entry in store.manifest()] == [4, 5]


def test_a_blob_that_another_process_has_just_put_stays(address: str) -> None:
    """Whoever takes over puts its blob before the owner that is fenced has tidied up."""
    store = store_at(address)
    newcomer = digest(b"newcomer")
    store_at(address).put(newcomer, b"newcomer")
    checkpointed(store, b"a", b"b", b"c", b"d")
    assert newcomer in names(store)


FAULTS: dict[str, Callable[[bytes], bytes]] = {
    "torn": lambda data: data[:-7],
    "empty": lambda data: b"",
    "a flipped bit": lambda data: bytes([data[0] ^ 1]) + data[1:],
}


@pytest.mark.parametrize("change", FAULTS.values(), ids=FAULTS)
def test_a_damaged_blob_is_named(change: Callable[[bytes], bytes], address: str) -> None:
    """Nothing is restored from bytes that are not what their name says."""
    store = store_at(address)
    (sha,) = checkpointed(store, b"a model's state")
    overwrite(store, f"blobs/{sha}", change)
    with pytest.raises(CheckpointError, match=f"/m/blobs/{sha}: corrupt: its [0-9]+ bytes"):
        store.get(sha)


def test_a_folder_that_is_away_has_lost_nothing(tmp_path: Path) -> None:
    """A volume that is not mounted now is waited for; its parent would be no better."""
    store = CheckpointStore(FolderBlobs(tmp_path / "m"), keep=2)
    (sha,) = checkpointed(store, b"a model's state")
    (tmp_path / "m").rename(tmp_path / "away")
    with pytest.raises(StoreUnavailable):
        store.get(sha)
    (tmp_path / "away").rename(tmp_path / "m")
    assert store.get(sha) == b"a model's state"


def test_a_missing_blob_is_named(address: str) -> None:
    """With its path, so that a person can look."""
    with pytest.raises(CheckpointError, match=f"/m/blobs/{'0' * 64}: "):
        store_at(address).get("0" * 64)


def test_a_start_in_another_directory_is_thought_of_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rebuild would take hours, and the checkpoints are only somewhere else."""
    monkeypatch.chdir(tmp_path)
    settings = build({"name": "m", "task": "binary", "model": {"factory": "a:b"}})
    with pytest.raises(CheckpointError) as raised:
        contents_of(settings, store_of(settings), sha="0" * 64)
    assert str(raised.value).startswith(
        f'{tmp_path}/checkpoints/m/blobs/{"0" * 64}: no blob there; `checkpoint.store` = "checkpoints" is relative to '
        "the working directory: if the learner ran in another one, start it there"
    )
    whole = settings.model_copy(update={"checkpoint": settings.checkpoint.model_copy(update={"store": str(tmp_path)})})
    with pytest.raises(CheckpointError, match="no blob there; bring it back, or learn the log again"):
        contents_of(whole, store_of(whole), sha="0" * 64)


@pytest.mark.parametrize("found", [b"", b"[{", b"null", b'["a"]', b'[{"sha": "x"}]'])
def test_an_unreadable_manifest_says_what_to_do(found: bytes, address: str) -> None:
    """It can go: the committed offsets name the newest checkpoint too."""
    store = store_at(address)
    checkpointed(store, b"a")
    overwrite(store, "manifest.json", lambda data: found)
    with pytest.raises(CheckpointError, match=r"/m/manifest\.json: not a manifest: .*; remove it and start again"):
        store.record({"sha": "b", "parent": "a"})


def test_left_over_files_of_a_killed_process_go_in_time(tmp_path: Path) -> None:
    """A temporary file or an unnamed blob stays for an hour, in case somebody is at work on it."""
    store = CheckpointStore(FolderBlobs(tmp_path), keep=2)
    old, young = tmp_path / "blobs" / ".abc.77.tmp", tmp_path / "blobs" / ".def.78.tmp"
    left = [old, tmp_path / ".manifest.json.77.tmp", tmp_path / "blobs" / ("0" * 64), young]
    for path in left:
        path.write_bytes(b"half")
    for path in left[:3]:
        os.utime(path, (time.time() - STRANGER_S - 60,) * 2)
    checkpointed(store, b"a")
    assert [path.exists() for path in left] == [False, False, False, True]


def test_left_over_files_are_in_nobodys_way(tmp_path: Path) -> None:
    """A half-written blob has another name than a whole one."""
    store = CheckpointStore(FolderBlobs(tmp_path), keep=2)
    (tmp_path / "blobs" / f".{digest(b'a')}.77.tmp").write_bytes(b"half")
    (sha,) = checkpointed(store, b"a")
    assert store.get(sha) == b"a"


class FullDisk(RealFiles):
    """A disk on which nothing is synced any more; it notes what was to be written."""

    def __init__(self) -> None:
        self.created: list[Path] = []

    def create(self, path: Path) -> Any:
        self.created.append(path)
        return super().create(path)

    def sync(self, file: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_what_a_full_disk_does_not_take_is_removed(tmp_path: Path) -> None:
    """Half a blob would only keep the room from the next attempt."""
    store = CheckpointStore(FolderBlobs(tmp_path, files=FullDisk()), keep=2)
    with pytest.raises(StoreUnavailable, match=r"blobs/abc: No space left on device; see that the disk has room"):
        store.put("abc", b"data")
    assert list((tmp_path / "blobs").iterdir()) == []


def test_no_two_writes_share_a_temporary_file(tmp_path: Path) -> None:
    """Neither do two processes of one number, in two containers that see the same folder."""
    disk = FullDisk()
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            CheckpointStore(FolderBlobs(tmp_path, files=disk), keep=2).put("abc", b"data")
    assert len(set(disk.created)) == 2


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A file stands in its way, or a right is lacking."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match=r"file/m/blobs: .*; `checkpoint\.store` must be a folder"):
        store_at(str(tmp_path / "file"))


def test_a_write_that_fails_names_the_path(tmp_path: Path) -> None:
    """As when the disk is full."""
    store = CheckpointStore(FolderBlobs(tmp_path), keep=2)
    (tmp_path / "blobs").rmdir()
    with pytest.raises(StoreUnavailable, match=r"blobs/abc: No such file .*; see that the disk has room"):
        store.put("abc", b"")


def test_a_bucket_that_is_none_is_named(s3: str) -> None:
    """Buckets are people's to make."""
    with pytest.raises(StoreUnavailable, match=r"s3://nowhere/m/blobs/abc: .*bucket does not exist.*; see that the"):
        store_at("s3://nowhere").put("abc", b"")


@pytest.mark.slow
def test_an_s3_that_does_not_answer_is_named(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the client's own retries."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StoreUnavailable, match=r"EndpointConnectionError.*AWS_ENDPOINT_URL"):
        store_at(s3).put("abc", b"")


@pytest.mark.parametrize("scheme", ["gs", "http", "S3", "memory"])
def test_other_addresses_are_refused(scheme: str) -> None:
    """With what can be written instead."""
    with pytest.raises(ConfigError, match=f"unsupported scheme {scheme}://; write a folder, .* or s3://bucket/prefix"):
        store_at(f"{scheme}://somewhere")


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not as a missing module somewhere deep inside."""
    monkeypatch.delitem(sys.modules, "consumers.stores.objects")
    missing: Any = None  # what Python itself takes for "not installed"
    monkeypatch.setitem(sys.modules, "s3fs", missing)
    with pytest.raises(ConfigError, match=r"needs the extra \[s3\] \(s3fs is not installed\): pip install 'anabranch"):
        store_at("s3://bucket")
