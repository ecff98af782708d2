"""Instructions on asynchronous generators: iterating, sending, throwing, closing, and leaving them to their finalizer.

Several tasks use the same generator, so that one may call it while another runs in it.
"""

import asyncio

PLACES = 3


class Generators:
    """A part of `World`: a few places for generators."""

    def make_generators(self) -> None:
        self.generators: list = [None] * PLACES
        self.generated = 0

    async def generator(self, me: str, body, cleanup):
        try:
            for number, instruction in enumerate(body):
                await self.step(me, *instruction)
                self.note(me, "was sent", (yield number))
        except Exception as error:
            if type(error).__name__ != "_Return":
                raise
        finally:
            self.note(me, "ends", asyncio.current_task() is not None)
            await self.perform(me, cleanup)

    def do_generate(self, me, which, body, cleanup):
        """Whatever was in the place is left to its finalizer."""
        self.generated += 1
        self.generators[which % PLACES] = self.generator(f"g{self.generated}", body, cleanup)
        return self.generated

    def do_drop(self, me, which):
        self.generators[which % PLACES] = None

    def generator_at(self, which):
        found = self.generators[which % PLACES]
        if found is None:
            raise LookupError("no generator")
        return found

    async def advance(self, me, which):
        return await anext(self.generator_at(which), "exhausted")

    async def send(self, me, which, value):
        return await self.generator_at(which).asend(value)

    async def throw(self, me, which, kind):
        return await self.generator_at(which).athrow(self.make(kind))

    async def close(self, me, which):
        return await self.generator_at(which).aclose()

    async def iterate(self, me, which, most):
        seen = []
        async for each in self.generator_at(which):
            seen.append(each)
            if len(seen) >= most:
                break
        return seen

    async def iterate_own(self, me, body, cleanup, most):
        """The only reference is the loop's: after a break the generator is finalized at once."""
        self.generated += 1
        async for each in self.generator(f"g{self.generated}", body, cleanup):
            if each >= most:
                break
