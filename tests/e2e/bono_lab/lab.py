"""One scene: addresses, a directory, and the programs started in it."""

import pathlib

from .address import Block


class Lab:
    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.block = Block()
        self.things = []        # whatever has stop() and complaints(), in order of birth

    def ip(self, host):
        return self.block.ip(host)

    def client_ip(self):
        return self.block.client()

    def path(self, name):
        return self.directory / name

    def add(self, thing):
        """Own it: stopped at the end, last in, first out."""
        self.things.append(thing)
        return thing

    def complaints(self):
        return "\n".join(filter(None, (thing.complaints() for thing in self.things
                                       if hasattr(thing, "complaints"))))

    def close(self):
        for thing in reversed(self.things):
            thing.stop()
        complaints = self.complaints()
        self.block.release()
        assert not complaints, complaints
