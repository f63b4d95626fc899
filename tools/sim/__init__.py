"""AWS in a box: the services that `eice` talks to, for tests without a network.

    from sim import Simulator
    with Simulator(sshd=True) as sim:
        subprocess.run(command, env={**os.environ, **sim.env()})
"""

from .errors import SetupError
from .simulator import Simulator

__all__ = ["Simulator", "SetupError"]
