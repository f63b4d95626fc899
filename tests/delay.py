"""A line with a delay: TCP connections to a port, carried to another, every byte later by as much.

What arrives is read at once and kept as long as it takes, up to `room` bytes each way, so that
the delay is that of a long line and not that of a narrow one.
"""

import asyncio
import threading


class Delay:
    """`with Delay(("127.0.0.1", 22), 0.05) as line`: line.port leads there, 50 ms each way."""

    def __init__(self, target, seconds, room=64 << 20):
        self.target = target
        self.seconds = seconds
        self.room = room
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        self.ready.wait()
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()

    def _run(self):
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(asyncio.start_server(self._one, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self.ready.set()
        self.loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self.loop.close()

    async def _one(self, reader, writer):
        try:
            there_reader, there_writer = await asyncio.open_connection(*self.target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(self._carry(reader, there_writer), self._carry(there_reader, writer))

    async def _carry(self, reader, writer):
        queue = asyncio.Queue()
        waiting = 0

        async def out():
            nonlocal waiting
            while True:
                due, data = await queue.get()
                await asyncio.sleep(max(0, due - self.loop.time()))
                waiting -= len(data)
                if not data:
                    break
                writer.write(data)
                await writer.drain()

        sender = asyncio.ensure_future(out())
        try:
            data = b"x"
            while data and not sender.done():
                data = await reader.read(262144)
                waiting += len(data)
                queue.put_nowait((self.loop.time() + self.seconds, data))
                while waiting > self.room and not sender.done():
                    await asyncio.sleep(0.001)
            await sender
        except OSError:
            sender.cancel()
        finally:
            writer.close()
