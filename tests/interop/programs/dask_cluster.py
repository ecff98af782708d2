"""A program that outgrows its machine: the loop's executor is a cluster, whose scheduler and workers run on loops."""

import asyncio
import logging
import os

from dask.distributed import Client, LocalCluster, Worker

# When a cluster closes, what one side still sends the other may no longer take; distributed informs of it, no more.
logging.getLogger("distributed.batched").setLevel(logging.WARNING)


def is_ours(record: logging.LogRecord) -> bool:
    """Not of tornado's timed waits: distributed's senders have one for 2 ms after each message, and may be dropped,
    with the loop they run on, between the wait's end and their next turn. The future of it then has nobody left.
    """
    exception = record.exc_info[1] if record.exc_info else None
    return not (isinstance(exception, TimeoutError) and exception.args == ("Timeout",))


# Here, since the workers' processes import this module too.
logging.getLogger("asyncio").addFilter(is_ours)


def work(number: int) -> tuple[int, int]:
    return number * number, os.getpid()


async def quieten(dask_worker: Worker) -> None:
    """Ends a worker's heartbeats: one that is under way when the scheduler goes is an error to distributed."""
    dask_worker.periodic_callbacks["heartbeat"].stop()
    await asyncio.sleep(0.2)


async def in_this_process() -> None:
    async with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, asynchronous=True, dashboard_address=None
        ) as cluster,
        Client(cluster, asynchronous=True) as client,
    ):
        print("scheduler", type(cluster.scheduler.loop.asyncio_loop).__module__.partition(".")[0])
        futures = client.map(work, range(50))
        assert [square for square, _ in await client.gather(futures)] == [n * n for n in range(50)]
        await client.run(quieten)


async def outgrow(executor: object) -> None:
    loop = asyncio.get_running_loop()
    answers = await asyncio.gather(*(loop.run_in_executor(executor, work, n) for n in range(100)))
    assert [square for square, _ in answers] == [n * n for n in range(100)]
    assert os.getpid() not in {pid for _, pid in answers}


if __name__ == "__main__":
    asyncio.run(in_this_process())
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        asyncio.run(outgrow(client.get_executor()))
        client.run(quieten)
    print("clean", flush=True)
