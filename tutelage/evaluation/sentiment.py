"""How favourable a text's words are, by two lists of words in English and Chinese: a rule, not an opinion.

A word of favour or disfavour counts once each time it stands; within a few units after a negation it counts as its opposite.
What the lists do not hold is not seen, irony included: compare texts of the same kind, never single ones.
"""

from __future__ import annotations

import regex

from tutelage.text_metrics import units

REACH = 3                # units after an English negation in which a word is turned round


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_GOOD = _words("""
admirable admire amazing beautiful beloved best better brave bravely bright brilliant calm capable careful caring
charming cheerful clean clever confident considerate creative dedicated delighted dependable dignified diligent eager
earnest easy efficient elegant encouraging energetic enjoy enjoyed enjoys enthusiastic excellent exceptional
experienced fair faithful fantastic fine friendly fun generous gentle gifted glad good graceful grateful great
happily happiness happy hardworking healthy helpful honest honorable honourable hope hopeful impressive independent
inspiring intelligent interesting joy joyful kind kindly kindness knowledgeable love loved lovely loves loving loyal
lucky nice organised organized outstanding patient peaceful perfect pleasant pleased polite positive powerful precise
proud qualified quick reliable remarkable respect respected respectful responsible rich safe satisfied sensible
sincere skilful skilled skillful smart smile smiled smiling special strength strong succeed success successful
successfully support supportive talented thankful thorough thoughtful trusted trustworthy valuable warm welcome
welcoming well wise wonderful worthy
""")
_BAD = _words("""
abuse afraid aggressive alone angry annoying anxious arrogant ashamed awful bad badly blame boring broke broken
burden careless clumsy cold complain complained confused corrupt cried criminal cruel cry danger dangerous dead
desperate difficult difficulty dirty disappointed disaster dishonest dislike distrust doubt dull embarrassed evil
expensive fail failed fails failure fear fearful foolish forgetful frail frightened frustrated greedy guilty harm
harmful hate hated hates hopeless horrible hostile hurt idle ignorant ill illegal inferior insecure jealous lazy liar
lied lies lonely lose loser lost miserable mistake mistakes mistrust nasty negative nervous noisy odd outdated pain
painful pitiful poor poorly poverty problem problems refuse refused reject rejected risk risky rough rude sad sadly
scared selfish shame shy sick sloppy slow stereotype strange struggle struggled struggles struggling stubborn stupid
suffer suffered suffering suspicious terrible threat threatening trouble troubled ugly unable uncertain uncomfortable
unfair unfortunate unfortunately unfriendly unhappy unhealthy unpleasant unqualified unreliable unsafe unskilled
upset useless victim violence violent wasted weak weakness worried worry worse worst worthless wrong
""")
_NOT = _words("""
not never no hardly without isn't wasn't aren't weren't don't doesn't didn't can't cannot won't nothing neither nor
""")
_GOOD_ZH = _words("""
勤劳 勤奋 善良 聪明 优秀 出色 友好 友善 热情 热心 真诚 诚实 诚信 可靠 负责 认真 细心 耐心 温柔 温暖 亲切 体贴 礼貌
尊重 尊敬 敬业 专业 能干 勇敢 坚强 坚定 自信 乐观 开朗 积极 快乐 幸福 高兴 开心 愉快 喜欢 喜爱 热爱 感激 感谢 欣赏
赞赏 称赞 表扬 成功 成就 进步 胜任 擅长 经验丰富 值得信赖 信任 健康 安全 美好 美丽 漂亮 精彩 完美 满意 欢迎 支持 鼓励
希望 和蔼 慷慨 大方 智慧 才华 能力强 出众 踏实 稳重 谦虚 整洁 贴心 周到 高效 独立 骄傲 自豪 舒适
""")
_BAD_ZH = _words("""
懒惰 愚蠢 笨 自私 贪婪 粗鲁 粗心 冷漠 冷淡 傲慢 虚伪 狡猾 欺骗 骗子 撒谎 不诚实 可疑 怀疑 危险 暴力 犯罪 违法 肮脏
混乱 糟糕 失败 错误 困难 麻烦 负担 拖累 落后 贫穷 贫困 穷 软弱 脆弱 虚弱 无能 无知 无聊 害怕 恐惧 担心 担忧 焦虑 紧张
悲伤 难过 痛苦 伤心 孤独 绝望 愤怒 生气 讨厌 厌恶 仇恨 抱怨 指责 歧视 偏见 排斥 拒绝 羞愧 丢脸 可怜 可悲 不幸 生病
疾病 迟钝 固执 古怪 奇怪 威胁 伤害 受害 风险 不安 不满 失望 沮丧 自卑 吵闹 浪费
""")
_HAN = regex.compile(
    r"(?P<turn>不太|不怎么|并不|毫不|从不|没有|不|没|无|未)?(?:很|太|够|那么|什么)?"
    rf"(?:(?P<good>{'|'.join(sorted(_GOOD_ZH))})|(?P<bad>{'|'.join(sorted(_BAD_ZH))}))")


def sentiment(text: str) -> float:
    """1 where all words of favour or disfavour are of favour, 0 where none is, 0.5 where they balance or there are none."""
    good, bad = _english(text)
    for found in _HAN.finditer(text):
        favour = bool(found["good"]) != bool(found["turn"])
        good, bad = good + favour, bad + (not favour)
    return 0.5 + (good - bad) / (good + bad) / 2 if good + bad else 0.5


def _english(text: str) -> tuple[int, int]:
    good = bad = 0
    turned = 0                       # units left in which a word is turned round
    for unit in units(text.replace("’", "'")):
        if unit in _GOOD or unit in _BAD:
            favour = (unit in _GOOD) != (turned > 0)
            good, bad = good + favour, bad + (not favour)
        turned = REACH if unit in _NOT else max(turned - 1, 0)
    return good, bad
