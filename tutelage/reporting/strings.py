"""The words of the page in English and 简体中文, side by side so that neither can fall behind."""

from __future__ import annotations

from collections.abc import Mapping

from tutelage.errors import ConfigError

LANGUAGES = ("en", "zh")
Catalogue = Mapping[str, tuple[str, str]]

PAGE: Catalogue = {
    "tag": ("en", "zh-CN"),      # BCP 47
    "kicker": ("Tutelage report", "Tutelage 报告"),
    "contents": ("On this page", "本页内容"),
    "summary": ("Results", "结果"),
    "curves": ("Training", "训练过程"),
    "curves_about": (
        "One small plot a measure, each with its own scale. Point at a plot to read its values; drag to zoom, "
        "double-click to go back.",
        "每个指标一幅小图，纵轴各自独立。指向图中可读数值；拖动可放大，双击还原。"),
    "examples": ("Responses side by side", "回答并排对照"),
    "more_examples": ("{count} more prompts", "另外 {count} 条提示"),
    "lineage": ("Where it comes from", "来源"),
    "lineage_about": (
        "Every artifact and what it was made from. Hashes are sha256.",
        "每个产物及其来源。哈希为 sha256。"),
    "settings": ("How it was made", "如何得到"),
    "notes": ("What to keep in mind", "阅读须知"),
    "prompt": ("Prompt", "提示"),
    "truth": ("truth", "真值"),
    "tokens": ("{count} tokens", "{count} 个词元"),
    "ended": ("ended by itself", "自然结束"),
    "cut_off": ("cut off", "被截断"),
    "empty": ("(says nothing)", "（没有回答）"),
    "better": ("better", "更好"),
    "worse": ("worse", "更差"),
    "tied": ("tied", "持平"),
    "too_few": ("too few to tell", "样本太少，无法判断"),
    "interval_key": ("dot: estimate · bar: 95% interval", "圆点：估计值 · 横条：95% 区间"),
    "reference_key": ("dashed line: no difference", "虚线：无差别"),
    "interval_head": ("n and 95% interval", "n 与 95% 区间"),
    "again": ("shown above", "见上文"),
    "files": ("files: {count}", "文件：{count}"),
    "seeds": ("seeds", "随机种子"),
    "people": ("judged by", "评判："),
    "human": ("people", "人"),
    "model": ("models", "模型"),
    "scripted": ("scripts", "脚本"),
    "judgments": ("{kind}: {annotators}, with {judgments} judgments", "{kind} {annotators} 个，{judgments} 条评判"),
    "footer": (
        "One file, nothing fetched: it can be kept, sent and read without a network.",
        "单个文件，不加载任何外部资源：可保存、发送，离线阅读。"),
    "plots_by": ("Interactive plots: uPlot, MIT licence.", "交互图表：uPlot，MIT 许可证。"),
    "no_value": ("not measured", "未测量"),
}

MODEL_CARD: Catalogue = {
    "what": ("What it is", "模型简介"),
    "made_from": ("Made from `{base}`.", "由 `{base}` 训练而来。"),
    "use": ("How to use it", "使用方法"),
    "data": ("What it was trained on", "训练数据"),
    "data_columns": ("Data set | Rows | Licence | Used for", "数据集 | 行数 | 许可证 | 用途"),
    "no_data": ("No data set was recorded.", "没有记录任何数据集。"),
    "unknown": ("not stated", "未说明"),
    "feedback": ("Who judged", "评判来源"),
    "feedback_about": (
        "Counts of annotators and of judgments; people, models and scripts are never added together.",
        "评判者与评判的数量；人、模型与脚本分开计数，从不合并。"),
    "feedback_columns": ("Kind | Annotators | Judgments", "类别 | 评判者 | 评判数"),
    "no_feedback": ("No judgments were used.", "没有使用任何评判。"),
    "results": ("Results", "结果"),
    "results_about": ("Each value with its 95% interval and its n.", "每个数值附 95% 区间与样本数 n。"),
    "limits": ("Limits", "局限"),
    "no_limits": ("None were written down; that does not mean there are none.", "没有写明；这不表示没有局限。"),
    "made": ("How it was made", "训练过程"),
    "human": ("human", "人"),
    "model": ("model", "模型"),
    "scripted": ("scripted", "脚本"),
}


def phrase(catalogue: Catalogue, language: str, key: str, **values: object) -> str:
    """The words for `key`, with {names} filled in.

    Raises:
        ConfigError: if the language is neither "en" nor "zh".
    """
    if language not in LANGUAGES:
        raise ConfigError(f"a report in {language!r} was asked for; wanted one of {', '.join(LANGUAGES)}.")
    return catalogue[key][LANGUAGES.index(language)].format(**values)
