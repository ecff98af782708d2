"""Work that leaves the process: gRPC, pools and child processes, a cluster."""

from tests.interop import running


@running.needs("grpc")
def test_grpc(mode: str) -> None:
    said = running.run(mode, "grpc_calls.py", GRPC_VERBOSITY="ERROR")  # its core tells of the server it stops
    assert said == ["unary", "streams", "FAILED_PRECONDITION", "DEADLINE_EXCEEDED", "cancelled True"]


def test_pools_and_child_processes(mode: str) -> None:
    said = running.run(mode, "worker_processes.py")
    pools = ["in the worker", "pools spawn", "in the worker", "pools forkserver"]
    assert said == [*pools, "spawn True", "forkserver True", "fork True"]


def test_forks_while_the_loop_runs(mode: str) -> None:
    assert running.run(mode, "forks.py") == ["forks", "a forked pool"]


@running.needs("distributed")
def test_a_cluster_as_executor(mode: str) -> None:
    (scheduler,) = running.run(mode, "dask_cluster.py")
    assert scheduler == ("scheduler asyncio" if mode == "stock" else "scheduler ferrio")
