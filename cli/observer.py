"""Who looks at a stack: the one for this machine's, or the one for a deployed one."""

from cli.control import Control
from cli.observation import Observer
from cli.observe_deployed import DeployedObserver
from cli.observe_local import LocalObserver
from operations.target import Target


def observer(target: Target) -> Observer:
    """What looks at the target."""
    if target.running is not None:
        return LocalObserver(target, Control(target.running))
    return DeployedObserver(target)
