"""The words of an evaluation report in English and 简体中文, side by side so that neither can fall behind."""

from __future__ import annotations

from tutelage.reporting.strings import Catalogue

EVALUATION: Catalogue = {
    "title": ("{focus} against {reference}", "{focus} 与 {reference} 的对比"),
    # the verdict, in one sentence
    "verdict_better": (
        "{focus} is better than {reference}: it wins {win} of paired responses.",
        "{focus} 优于 {reference}：在成对回答中胜出 {win}。"),
    "verdict_worse": (
        "{focus} is worse than {reference}: it wins {win} of paired responses.",
        "{focus} 不如 {reference}：在成对回答中胜出 {win}。"),
    "verdict_tied": (
        "{focus} and {reference} are tied: {focus} wins {win} of paired responses.",
        "{focus} 与 {reference} 持平：在成对回答中胜出 {win}。"),
    "verdict_too_few": (
        "{n} prompts are too few to tell whether {focus} is better than {reference}; at least {fewest} are needed.",
        "仅 {n} 条提示，不足以判断 {focus} 是否优于 {reference}；至少需要 {fewest} 条。"),
    "lede": (
        "{n} prompts, the same for every model, {samples}; brackets hold 95% intervals over prompts.",
        "{n} 条提示，各模型相同，{samples}；方括号内为按提示计算的 95% 区间。"),
    "between_sentences": (" ", ""),
    "one_sample": ("one response each", "每条提示一个回答"),
    "many_samples": ("{each} responses each", "每条提示 {each} 个回答"),
    "uneven_samples": ("{few} to {many} responses each", "每条提示 {few} 至 {many} 个回答"),
    "truth_better": ("Its truth is higher by {difference} points.", "真值高 {difference} 分。"),
    "truth_worse": ("Its truth is lower by {difference} points.", "真值低 {difference} 分。"),
    "truth_tied": (
        "The difference in truth, {difference} points, includes zero.",
        "真值之差 {difference} 分，区间包含零。"),
    "truth_unsure": (
        "The difference in truth is {difference} points; corrected for all pairs that were compared it is not shown (p = {p}).",
        "真值之差 {difference} 分；按所比较的全部模型对校正后，差别未得到证明（p = {p}）。"),
    "lede_better": ("Against {other} it is better, by {difference}.", "与 {other} 相比更好，高 {difference}。"),
    "lede_worse": ("Against {other} it is worse, by {difference}.", "与 {other} 相比更差，低 {difference}。"),
    "lede_tied": (
        "Against {other} it is tied: the difference is {difference}.",
        "与 {other} 持平：差为 {difference}。"),
    "lede_unsure": (
        "Against {other} it is tied: the difference is {difference}, and not shown when corrected for all pairs (p = {p}).",
        "与 {other} 持平：差为 {difference}，按全部模型对校正后未得到证明（p = {p}）。"),
    # cards
    "card_wins": ("{focus} wins against {reference}", "{focus} 对 {reference} 的胜率"),
    "card_truth": ("Truth of {focus}", "{focus} 的真值"),
    "card_was": ("{reference}: {value}", "{reference}：{value}"),
    "card_kl": ("Distance from the reference policy", "与参考策略的距离"),
    "card_length": ("Length of a response", "回答长度"),
    # the table
    "measures": ("Every measure", "各项指标"),
    "measure": ("Measure", "指标"),
    "table_about": (
        "Means with 95% intervals, n = {n} prompts unless a cell says otherwise. A dash was not measured.",
        "均值与 95% 区间；除单元格另有说明外，n = {n} 条提示。短横表示未测量。"),
    "responses": ("{count} responses", "{count} 个回答"),
    "truth": ("Truth", "真值"),
    "truth_about": ("what the grader gives; higher is better", "评分者给出的分数；越高越好"),
    "part_about": ("part of truth; higher is better", "真值的组成部分；越高越好"),
    "reward": ("Reward", "奖励"),
    "reward_about": ("what the reward model gives, in its own units", "奖励模型给出的分数，以其自身单位计"),
    "kl": ("KL to the reference policy", "与参考策略的 KL"),
    "kl_about": ("how far training moved the model; 0 is not at all", "训练使模型偏移多少；0 表示没有偏移"),
    "tokens": ("Length", "长度"),
    "tokens_about": ("end-of-turn token included", "含结束词元"),
    "words": ("Length", "长度"),
    "words_about": ("a Han character counts as a word", "一个汉字计为一词"),
    "ended": ("Ended by itself", "自然结束"),
    "ended_about": ("the rest ran into the length limit", "其余因长度上限被截断"),
    "distinct_1": ("Distinct-1", "Distinct-1"),
    "distinct_2": ("Distinct-2", "Distinct-2"),
    "distinct_1_about": ("different words over all words; falls with length", "不同词占全部词的比例；随长度下降"),
    "distinct_2_about": (
        "different word pairs over all pairs; falls with length",
        "不同词对占全部词对的比例；随长度下降"),
    "repetition": ("Repetition", "重复"),
    "repetition_about": ("runs of 4 words the response had said before", "回答中已出现过的 4 元词组的比例"),
    "self_bleu": ("Self-BLEU", "Self-BLEU"),
    "self_bleu_about": ("how alike responses to one prompt are; 1 is all the same", "同一提示的回答彼此有多相似；1 表示完全相同"),
    "refused": ("Refusals", "拒答"),
    "refused_about": ("responses that begin as a refusal does; others go unseen", "以拒绝语开头的回答；其他拒绝方式不计"),
    "perplexity": ("Perplexity", "困惑度"),
    "perplexity_about": ("on wanted responses; lower is more expected", "在参考回答上；越低越符合预期"),
    # units
    "unit_points": ("points", "分"),
    "unit_reward": ("reward units", "奖励单位"),
    "unit_nats": ("nats a response", "奈特/回答"),
    "unit_root_nats": ("√KL, of nats a response", "√KL，KL 以奈特/回答计"),
    "unit_tokens": ("tokens", "词元"),
    "unit_words": ("words", "字词"),
    "unit_wins": ("share of paired responses won, ties half", "成对回答的胜出比例，平局各半"),
    "unit_difference": ("difference in truth, points", "真值之差（分）"),
    # intervals
    "wins": ("Who wins", "谁胜出"),
    "wins_about": (
        "Every pair on the same prompts, first named against second. A verdict needs an interval that leaves zero out and a "
        "paired test that, corrected for all pairs, stays below 0.05. Tied means that no difference was shown, not that there "
        "is none.",
        "每一对模型都在相同提示上比较，以前者对后者。须区间不含零，且按全部模型对校正后的配对检验低于 0.05，才给出高下。"
        "持平表示未显示出差别，并不表示没有差别。"),
    "win_rate": ("Win rate", "胜率"),
    "difference": ("Difference", "差值"),
    "against": ("{first} – {second}", "{first} – {second}"),
    "second_better": ("second is better", "后者更好"),
    "first_better": ("first is better", "前者更好"),
    "parts": ("What the truth is made of", "真值的组成"),
    "parts_about": (
        "Each part, higher is better. The verdict beside a model is against {reference}, prompt by prompt.",
        "各组成部分，越高越好。模型旁的结论为逐条提示与 {reference} 的比较。"),
    "examples_about": (
        "{count} of {n} prompts, drawn by seed {seed}, not chosen. Where a model gave several responses, its first "
        "is shown.",
        "从 {n} 条提示中按种子 {seed} 抽取 {count} 条，未经挑选。模型有多个回答时显示第一个。"),
    "settings": ("Settings", "设置"),
    "yes": ("yes", "是"),
    "no": ("no", "否"),
    "controlled": ("Win rate at equal length", "等长胜率"),
    "unit_controlled": ("share won if responses were equally long", "假定回答等长时的胜出比例"),
    "length": ("Length", "长度"),
    "length_about": (
        "Many graders like long responses. Above: who would win if both were equally long. Below: how much longer they are.",
        "许多评分者偏爱长回答。上图：若双方等长谁会胜出；下图：长度相差多少。"),
    "longer": ("Length drift", "长度变化"),
    "second_longer": ("second is longer", "后者更长"),
    "first_longer": ("first is longer", "前者更长"),
    "judge": ("Judged by {judge}", "由 {judge} 评判"),
    "judge_about": (
        "A model compared one response of each to every prompt, in both orders; where its answers disagree, it is a tie. "
        "{unreadable} answers named neither and count as ties. A judge that names the response shown first more often than half "
        "the time leans to it; both orders take that out of the win rate.",
        "由模型就每条提示各取一个回答进行比较，两种先后顺序各一次；两次结论不一致时记为平局。{unreadable} "
        "次作答未指明任何一方，计为平局。"
        "若评判者选择先出示者的比例明显偏离一半，即存在位置偏好；两种顺序都评可将其从胜率中消除。"),
    "human": ("Judged by people", "由人评判"),
    "human_about": (
        "{votes} comparisons of {prompts} prompts by {people}, who saw neither name nor order of the models. Ties count half. "
        "The lowest plot holds how the automatic measures go with these votes, pair by pair, on the responses that were seen.",
        "{people}对 {prompts} 条提示作了 {votes} 次比较，评判者看不到模型名称，先后顺序也已平衡。平局计一半。"
        "最下图为各自动指标与这些投票在所见回答上逐对的相关。"),
    "human_people": ("{count} {kind} annotators", "{count} 名{kind}标注者"),
    "human_kind_human": ("human", "真人"),
    "human_kind_model": ("model", "模型"),
    "human_kind_scripted": ("scripted", "脚本"),
    "human_verdict": ("Win rate", "胜率"),
    "human_agreement": ("Agreement with automatic measures", "与自动指标的一致性"),
    "unit_correlation": ("Spearman's rank correlation", "斯皮尔曼秩相关"),
    "judge_wins": ("Who wins", "谁胜出"),
    "judge_itself": ("The judge itself", "评判者自身"),
    "unit_share": ("share", "比例"),
    "first_shown": ("Names the one shown first", "选择先出示者"),
    "consistent": ("Says the same both ways round", "两种顺序结论一致"),
    "best_of": ("best of n", "n 选一"),
    "frontier_truth": ("Truth over distance", "真值与偏移"),
    "frontier_reward": ("Reward over distance", "奖励与偏移"),
    "frontier_about": (
        "Keeping the best of n responses by the reward moves no weight and is at most log n − (n − 1)/n nats away. A policy "
        "below that line at the same distance was not worth training.",
        "按奖励从 n 个回答中取最佳不改变权重，偏移至多为 log n − (n − 1)/n 奈特。同等偏移下低于该线的策略并不值得训练。"),
    "groups": ("Who is tied with whom", "哪些模型持平"),
    "groups_about": (
        "Within a group no two models were shown to differ in truth, so no order is given. The better group comes first.",
        "同组内任何两个模型的真值之间都未显示出差别，故不排先后。较好的组在前。"),
    "group": ("Group", "组"),
    "members": ("Models", "模型"),
    # what to keep in mind
    "note_plan": ("This evaluation was planned beforehand (plan {hash}) and departs from the plan in nothing.",
                  "本次评测事先有计划（计划 {hash}），执行与计划完全一致。"),
    "note_departure": ("Departs from its plan {hash}: {what}.", "与计划 {hash} 不符：{what}。"),
    "note_no_plan": ("No plan was frozen before this evaluation (--freeze), so what was measured may have been chosen after "
                     "looking.",
                     "本次评测事先没有冻结计划（--freeze），测量内容可能是看过结果后选定的。"),
    "note_scripted": (
        "Truth is given by a script here: fixed checks, not people's opinion. It shows whether the loop learns what "
        "it is asked, not whether people will like it.",
        "此处的真值由脚本给出：是固定的检查，而不是人的意见。它说明训练回路是否学到了所要求的内容，不说明人们是否喜"
        "欢。"),
    "note_model": (
        "Truth is given by a model here, which has tastes of its own: length, confidence, its own style.",
        "此处的真值由模型给出；模型有自己的偏好：长度、自信的语气、自身的风格。"),
    "note_human": (
        "Truth is given by people here; the intervals cover the choice of prompts, not the choice of people.",
        "此处的真值由人给出；区间只反映提示的抽样，不反映评判者的抽样。"),
    "note_intervals": (
        "The intervals say how much another draw of {n} prompts would change the numbers. They do not cover another "
        "training seed.",
        "区间表示换一批 {n} 条提示时数值会变化多少，并不包含换一个训练种子的变化。"),
    "note_fell_truth": (
        "From {before} to {after} the reward rose and the truth fell: over-optimised.",
        "从 {before} 到 {after}，奖励上升而真值下降：过度优化。"),
    "note_fell_controlled": (
        "From {before} to {after} the reward rose and the win rate at equal length fell below a half: over-optimised.",
        "从 {before} 到 {after}，奖励上升而等长胜率低于一半：过度优化。"),
    "note_many": (
        "{count} differences are tested on this page. A verdict counts how many were tested beside it (Holm's correction): "
        "where nothing differs, no verdict of a family is wrong 19 times in 20. Intervals stand each for itself.",
        "本页检验了 {count} 个差值。结论已按同组检验的数目校正（Holm 法）：若本无差别，一组结论有 95% 的把握全部无误。"
        "各区间则单独成立。"),
    "note_few": (
        "{n} prompts are few: only large differences can show, and below 50 intervals tend to be too narrow.",
        "{n} 条提示偏少：只有较大的差别才能显现；少于 50 条时区间往往偏窄。"),
    "note_length": (
        "{focus} says {ratio} times as many words as {reference}; a grader that likes length would reward that alone.",
        "{focus} 的字数是 {reference} 的 {ratio} 倍；偏爱长度的评分者会仅因此给高分。"),
    "note_overoptimised_worse": (
        "The reward of {focus} rose over {reference} while its truth fell: the reward model is being exploited. Read the "
        "responses above.",
        "{focus} 的奖励高于 {reference}，而真值下降：奖励模型正被钻空子。请阅读上方的回答。"),
    "note_overoptimised_tied": (
        "The reward of {focus} rose over {reference}, and that its truth rose too was not shown: perhaps the reward model is "
        "being exploited. Read the responses above.",
        "{focus} 的奖励高于 {reference}，而真值是否也提高未得到证明：奖励模型可能正被钻空子。请阅读上方的回答。"),
    "note_scripted_judges": (
        "The judges whose feedback was learned from are scripted: rules with noise and bias, not people.",
        "训练所用反馈的评判者是脚本：带噪声和偏差的规则，而不是人。"),
}
