import jax
import pytest

from vast_jax.training import hosts
from vast_jax.training.hosts import Hosts, connect
from vast_jax.types import UserError

TORCHRUN = dict(MASTER_ADDR="first", MASTER_PORT="1234", RANK="1", WORLD_SIZE="4")
SECOND_OF_FOUR = dict(coordinator_address="first:1234", num_processes=4, process_id=1)
ON_SECOND_GPU = dict(local_device_ids=[1])


@pytest.fixture
def asked(monkeypatch):
    calls = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda **arguments: calls.append(arguments))
    return calls


@pytest.mark.parametrize(
    ("given", "environment", "expected"),
    [
        (Hosts(), {}, []),
        (Hosts(), {"WORLD_SIZE": "1", "SLURM_NTASKS": "4"}, []),
        (Hosts("first:1234", 4, 1), {}, [SECOND_OF_FOUR]),
        (Hosts("first:1234", 1, 0), {}, []),
        (Hosts(), TORCHRUN, [SECOND_OF_FOUR]),
        (Hosts(), TORCHRUN | {"LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}, [SECOND_OF_FOUR]),
        (Hosts(), TORCHRUN | {"LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}, [SECOND_OF_FOUR | ON_SECOND_GPU]),
        (Hosts(), {"SLURM_STEP_NUM_TASKS": "2"}, [{}]),
        (Hosts(distributed=True), {}, [{}]),
    ],
)
def test_flags_and_environments(asked, given, environment, expected):
    connect(given, environment)
    assert asked == expected


@pytest.mark.parametrize(
    ("given", "environment", "said"),
    [
        (Hosts("first:1"), {}, "belong together"),
        (Hosts("first", 2, 0), {}, "HOST:PORT"),
        (Hosts("first:1", 2, 2), {}, "process 2 of 2"),
        (Hosts(), {"WORLD_SIZE": "2"}, "not MASTER_ADDR, MASTER_PORT, RANK"),
        (Hosts(), {**TORCHRUN, "RANK": "x"}, "must be numbers"),
        (Hosts(), {**TORCHRUN, "LOCAL_RANK": ""}, "must be numbers"),
    ],
)
def test_what_does_not_fit_is_said(asked, given, environment, said):
    with pytest.raises(UserError, match=said):
        connect(given, environment)
    assert not asked


def test_failing_to_meet_is_one_line(monkeypatch):
    def fail(**_):
        raise RuntimeError("DEADLINE\n EXCEEDED")

    monkeypatch.setattr(jax.distributed, "initialize", fail)
    with pytest.raises(UserError, match=r"did not find each other \(DEADLINE EXCEEDED\)"):
        connect(Hosts("first:1", 2, 0), {})


def test_an_error_of_the_first_process_ends_all(monkeypatch):
    sent = []

    def broadcast(array):  # what the first sends, the others get
        sent.append(array)
        return sent[0]

    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(hosts.multihost_utils, "broadcast_one_to_all", broadcast)
    with pytest.raises(OSError, match="full"):
        hosts.on_first(lambda: (_ for _ in ()).throw(OSError("full")))
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    with pytest.raises(UserError, match="process 0: full"):
        hosts.on_first(lambda: pytest.fail("only the first does it"))
