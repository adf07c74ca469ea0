"""The only file that replaces or imports private names of Hydra. Each replacement ends with the session.

Hydra calls the targets in its own part of a config (callbacks, launcher, sweeper) and offers neither a hook between
composition and these calls nor a place outside the `hydra_plugins` namespace for a sweeper and a launcher.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import hydra
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.plugins import Plugins
from hydra.plugins.plugin import Plugin
from omegaconf import DictConfig
from packaging.specifiers import SpecifierSet

from coordnet.errors import UserError

SUPPORTED = SpecifierSet(">=1.3.8,<1.4")

if not SUPPORTED.contains(hydra.__version__, prereleases=True):
    raise UserError(f"hydra-core {hydra.__version__} is installed, but coordnet needs hydra-core {SUPPORTED}")

_allowed: ContextVar[tuple[str, ...]] = ContextVar("allowed", default=())


def allowed_packages() -> tuple[str, ...]:
    """The packages that the command line allows targets to be in.

    Hydra makes the sweeper and the launcher from the config. No config may allow a package, so the packages reach the
    sweeper and the launcher here.
    """
    return _allowed.get()


@contextmanager
def hydra_session(
    allow: Sequence[str],
    check: Callable[[DictConfig], None],
    plugins: Callable[[], Sequence[type[Plugin]]] = tuple,
) -> Iterator[None]:
    """Let Hydra compose and run configs that are checked before Hydra calls any of their targets.

    Args:
        allow: Packages that targets may be in besides the targets of the shipped configs.
        check: Function that is called with every composed config, the part of Hydra included.
        plugins: Function that returns the sweeper and the launcher of this package.
    """
    token = _allowed.set(tuple(allow))
    load, known = ConfigLoaderImpl.load_configuration, Plugins.is_in_toplevel_plugins_module

    # Private: the method of the loader is the only code that every composition passes, sweeps and --cfg included.
    def load_and_check(*arguments: Any, **options: Any) -> DictConfig:
        try:
            config = load(*arguments, **options)
        except (KeyError, TypeError) as error:
            raise UserError(f"the overrides do not make a config: {error}") from None
        check(config)
        return config

    own = {f"{plugin.__module__}.{plugin.__qualname__}" for plugin in plugins()}
    ConfigLoaderImpl.load_configuration = load_and_check  # type: ignore[method-assign]
    # Private: Hydra refuses plugins outside its namespace package, which would need a second top-level package here.
    Plugins.is_in_toplevel_plugins_module = staticmethod(  # type: ignore[assignment]
        lambda name: known(name) or name in own
    )
    for plugin in plugins():
        Plugins.instance().register(plugin)
    try:
        yield
    finally:
        ConfigLoaderImpl.load_configuration = load  # type: ignore[method-assign]
        Plugins.is_in_toplevel_plugins_module = staticmethod(known)  # type: ignore[method-assign]
        _allowed.reset(token)
