"""What an RL stage may read beside its policy, prompts and reward: a critic of its own, and text to mix in."""

from __future__ import annotations

from dataclasses import dataclass

from tutelage.console import console
from tutelage.data.chat import ChatTemplate
from tutelage.data.datasets import Dataset, load_dataset, resolve_dataset
from tutelage.errors import ConfigError, ModelError
from tutelage.models.load import ModelSource, resolve
from tutelage.project import Project
from tutelage.rl.config import RL, Algorithm
from tutelage.rl.mixing import Mixture, rendered


@dataclass(frozen=True, slots=True)
class Beside:
    critic: ModelSource | None
    text: Dataset | None

    @classmethod
    def find(cls, project: Project, config: RL, settings: Algorithm) -> Beside:
        """Raises:
            ConfigError: if composition and settings do not fit together; ModelError, DataError: if one is not to be found.
        """
        _check(config, settings)
        return cls(_find_critic(config.critic, project) if config.critic else None,
                   load_dataset(resolve_dataset(project, config.ptx_data)) if config.ptx_data else None)

    def parents(self) -> dict[str, str]:
        """For the manifest."""
        mixed = {"mixed in": self.text.artifact.parent_ref} if self.text is not None and self.text.artifact is not None else {}
        return {**(self.critic.parents("critic") if self.critic else {}), **mixed}

    def sources(self) -> dict[str, str]:
        """For the manifest."""
        mixed = {f"mixed in {name}": digest for name, digest in (self.text.sources if self.text else {}).items()}
        return {**(self.critic.sources("critic") if self.critic else {}), **mixed}

    def used(self) -> dict[str, list[str]]:
        """Data set -> ids of its rows: any may be mixed in."""
        if self.text is None or self.text.artifact is None:
            return {}
        return {self.text.artifact.ref: [record.id for record in self.text.records]}

    def mixture(self, template: ChatTemplate, config: RL, lanes: int, share: bool) -> Mixture | None:
        if self.text is None:
            return None
        rows, truncation = rendered(self.text, template, config.ptx_tokens)
        console.print(f"rl: {config.ptx_tokens} tokens of {config.ptx_data} in each update; {truncation}")
        return Mixture(rows, config.ptx_tokens, config.micro_tokens, lanes, share, config.seed)


def _find_critic(name: str, project: Project) -> ModelSource:
    try:
        return resolve(name, project, kind="reward")
    except ModelError:
        return resolve(name, project)


def _check(config: RL, settings: Algorithm) -> None:
    if bool(config.ptx_data) != (settings.ptx_coef > 0):
        raise ConfigError(f"rl: ptx_data {config.ptx_data!r} and ptx_coef {settings.ptx_coef} go together: set both, or none.")
    if config.critic and not settings.has_critic:
        raise ConfigError(f"rl: {config.algorithm} has no critic for {config.critic!r} to be. Take ppo, a2c or reinforce_critic.")
    if settings.critic_warmup and not config.critic:
        raise ConfigError("rl: a critic on the policy's trunk cannot learn alone, for it would move the policy. Set critic, or "
                          "critic_warmup to 0.")
    if settings.critic_warmup >= config.steps:
        raise ConfigError(f"rl: critic_warmup {settings.critic_warmup} leaves none of the {config.steps} steps to the policy.")
    if config.one_step_late and settings.importance_limit is None:
        raise ConfigError("rl: samples of older weights need importance weights. Set importance_limit, for instance 2.0.")
