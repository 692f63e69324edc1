"""What people agree to when they come in. The text is versioned: a changed text is a new version, asked for anew."""

from __future__ import annotations

VERSION = "studio-1"
PURPOSES = ("training", "evaluation")
TEXT = {
    "en": (
        "Your judgments, what you write, and the times of your answers are kept under the name you choose here. They are "
        "used to train and to evaluate language models of this project, and for nothing else.",
        "Whoever leads the project sees what you answered, how it agrees with the answers of others, and how you did on "
        "questions with a known answer. You see the same of yourself on your own page, can contest it, and can download "
        "everything you gave.",
        "You may stop at any time and ask whoever leads the project to take your data out. Which data sets, runs and models "
        "they went into is on record.",
    ),
    "zh-CN": (
        "您的评判、您写下的文字以及作答时间，将以您在此选择的名称保存，只用于训练和评测本项目的语言模型，不作他用。",
        "项目负责人可以看到您的回答、与他人回答的一致程度，以及您在已知答案题目上的表现。这些内容您在个人页面上同样可以看到，"
        "可以提出异议，也可以下载您提供的全部内容。",
        "您可以随时停止，并请项目负责人删除您的数据。它们用于哪些数据集、训练和模型，均有记录可查。",
    ),
}
