"""Low-rank adapters through peft (Hu et al. 2021, arXiv:2106.09685). Adapter off is the reference."""

from __future__ import annotations

from pathlib import Path

from tutelage.models.config import Adapter
from tutelage.models.policy import Policy


def add_adapter(policy: Policy, adapter: Adapter) -> None:
    """Put a fresh LoRA on the trunk and freeze everything else of it. B starts at zero, so outputs do not change yet."""
    from peft import LoraConfig, get_peft_model

    targets: str | list[str] = list(adapter.targets) or "all-linear"
    config = LoraConfig(r=adapter.rank, lora_alpha=adapter.alpha, lora_dropout=adapter.dropout, use_rslora=adapter.rs,
                        target_modules=targets, bias="none", task_type="CAUSAL_LM")
    policy.model = get_peft_model(policy.model, config, autocast_adapter_dtype=False)
    policy.eval()


def load_adapter(policy: Policy, directory: Path) -> None:
    from peft import PeftModel

    policy.model = PeftModel.from_pretrained(policy.model, directory, is_trainable=True, autocast_adapter_dtype=False)
    policy.eval()
