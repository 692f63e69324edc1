"""The words of a report over tasks in English and 简体中文, side by side."""

from __future__ import annotations

from tutelage.reporting.strings import Catalogue

TASKS: Catalogue = {
    "title": ("{focus} against {reference} on {count} tasks", "{focus} 与 {reference} 在 {count} 项任务上的对比"),
    "verdict_better": ("{focus} is better than {reference}: on {better} of {count} tasks, and worse on none.",
                       "{focus} 优于 {reference}：{count} 项任务中 {better} 项更好，无一更差。"),
    "verdict_worse": ("{focus} is worse than {reference}: on {worse} of {count} tasks, and better on none.",
                      "{focus} 不如 {reference}：{count} 项任务中 {worse} 项更差，无一更好。"),
    "verdict_mixed": ("{focus} is better than {reference} on {better} of {count} tasks and worse on {worse}.",
                      "{count} 项任务中，{focus} 有 {better} 项优于 {reference}，{worse} 项不如。"),
    "verdict_tied": ("{focus} and {reference} are tied on all {count} tasks: no difference was shown.",
                     "{focus} 与 {reference} 在全部 {count} 项任务上持平：未显示出差别。"),
    "verdict_too_few": ("There are too few items to tell whether {focus} is better than {reference}; a task needs six at least.",
                        "题目太少，不足以判断 {focus} 是否优于 {reference}；每项任务至少需要六题。"),
    "lede": ("{items} items in {count} tasks, the same for every model; brackets hold 95% intervals over items. Verdicts are "
             "corrected for the {tests} differences that are tested (Holm).",
             "{count} 项任务共 {items} 题，各模型相同；方括号内为按题目计算的 95% 区间。结论已就所检验的 {tests} 个差值作 "
             "Holm 校正。"),
    "marks": ("Marks", "得分"),
    "task": ("Task", "任务"),
    "marks_about": ("The mean over items with its 95% interval. The first line of a task is its own metric; the verdicts "
                    "are about it.",
                    "按题目计算的均值与 95% 区间。每项任务的第一行是其主指标，结论依据主指标。"),
    "line": ("{task}: {metric}", "{task}：{metric}"),
    "shown": ("can show {effect} at 4 chances in 5", "有八成把握显示出 {effect} 的差别"),
    "over_all": ("Over all items", "整体指标"),
    "over_all_about": ("What only all items of a task together have, so that there is no interval over items. Precision, recall "
                       "and F1 are plain means over the labels.",
                       "只能就任务全部题目计算的指标，因此没有按题目计算的区间。精确率、召回率与 F1 为各类别的简单平均。"),
    "confusion": ("{task}: what {model} named", "{task}：{model} 给出的类别"),
    "confusion_about": ("Items by the label that was wanted (rows) and the one that the response names first (columns).",
                        "按应有类别（行）与回答最先给出的类别（列）统计的题数。"),
    "wanted_label": ("wanted", "应有类别"),
    "no_label": ("none", "未给出"),
    "differences": ("Against {reference}", "与 {reference} 相比"),
    "differences_about": ("Each model's own metric less that of {reference}, item by item. Tied means that no difference "
                          "was shown, "
                          "not that there is none.",
                          "各模型主指标减去 {reference} 的主指标，逐题计算。持平表示未显示出差别，并不表示没有差别。"),
    "unit": ("difference in the task's own metric", "主指标之差"),
    "worse_side": ("{reference} is better", "{reference} 更好"),
    "better_side": ("{model} is better", "{model} 更好"),
    "groups": ("Who is tied with whom", "哪些模型持平"),
    "groups_about": ("Within a group no two models were shown to differ, so no order is given. Best group first.",
                     "同组内任何两个模型之间都未显示出差别，故不排先后。较好的组在前。"),
    "group": ("Groups", "分组"),
    "recipes": ("Training seeds as a factor", "将训练种子作为因素"),
    "recipes_about": ("A recipe over its seeds against {reference}: the interval covers other items and another training "
                      "seed. n is the "
                      "smaller number of both.",
                      "同一训练方案的多个种子与 {reference} 相比：区间同时覆盖换题目与换训练种子的变化。n 为两者中较小的数目。"),
    "recipe": ("{recipe}, {seeds} seeds: {task}", "{recipe}，{seeds} 个种子：{task}"),
    "leaks": ("Found in training data", "在训练数据中出现"),
    "leaks_about": ("Items that share a run of 13 words (characters of Chinese) with a row the model was trained on, or are "
                    "nearly the "
                    "same as one. Only data sets in the project's lineage can be looked at, not what a base model was made from.",
                    "与训练行有连续 13 个词（中文为字）相同、或整体近乎相同的题目。只能检查项目谱系中的数据集，"
                    "无法检查基座模型的训练数据。"),
    "leaks_of": ("of {n} items", "（共 {n} 题）"),
    "note_leaks": ("{count} items of {task} were found in what {model} was trained on; its mark there may be memory.",
                   "{task} 有 {count} 题出现在 {model} 的训练数据中；该处得分可能来自记忆。"),
    "note_few": ("{task} has {n} items: below 50, intervals tend to be too narrow.",
                 "{task} 只有 {n} 题：少于 50 题时区间往往偏窄。"),
    "note_seeds": ("The intervals cover another draw of items, not another training seed. Train several with --seeds to "
                   "have that too.",
                   "区间只覆盖换一批题目的变化，不含换训练种子的变化。可用 --seeds 训练多个种子。"),
    "examples_about": ("The first items of each task, chosen by nobody.", "每项任务最前面的题目，未经挑选。"),
    "wanted": ("wanted: {answer}", "应答：{answer}"),
    "by_group": ("By group: {task}", "分组结果：{task}"),
    "by_group_about": ("The mean over the items of a group, with its 95% interval. A verdict against {reference} is corrected "
                       "for all {tests} tests by group (Holm).",
                       "各组题目的均值与 95% 区间。与 {reference} 相比的结论已就全部 {tests} 项分组检验作 Holm 校正。"),
    "by_group_signed": ("The other form of an item less its first, by group; 0 is no difference. A verdict says that the "
                        "difference was shown, corrected for all {tests} tests by group (Holm); intervals draw templates or "
                        "questions, and speak of these pairs only.",
                        "各组中题目的另一形式减去原形式；0 表示没有差别。结论表示差别已被显示，并已就全部 {tests} 项分组检验作 "
                        "Holm 校正；区间按模板或题目抽样，只就这些成对题目而言。"),
    "signed_unit": ("other form less the first", "另一形式减原形式"),
    "mark_unit": ("mean", "均值"),
    "slice": ("{group}, {model}", "{group}，{model}"),
}
