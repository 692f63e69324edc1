"""Word lists and patterns of the scripted truth, English and Chinese. Only lists: `truth` says what they mean."""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


HAN = r"\u3400-\u4dbf\u4e00-\u9fff"

FUNCTION_WORDS = _words("""
a about above after again against all almost alone along already also although always am among an and another any
anyone anything are aren't around as at away back be because been before behind being below between both but by can
can't cannot could couldn't did didn't do does doesn't doing don't down during each either else enough even ever
every everyone everything few for from further get gets had has have haven't having he he's her here hers herself
him himself his how however i i'd i'll i'm i've if in inside instead into is isn't it it's its itself just least
less let let's like many may me might mine more most much must my myself near need neither never no nobody none nor
not nothing now of off often on once one only onto or other others our ours out over own perhaps please quite rather
same several shall she she's should so some someone something sometimes soon still such than that that's the their
theirs them themselves then there there's these they they're this those though through till to together too toward
towards under until up upon us use used very was wasn't we we'd we'll we're we've well were what what's when where
whether which while who whom whose why will with within without won't would wouldn't yes yet you you'd you'll you're
you've your yours yourself
""")
ZH_FUNCTION = frozenset("的了着过是在有和与跟就也都不没要会能可把被让给从到对向为用比再先还又很更最太"
                        "只将或而但因所如若即这那哪什么怎谁几个一两些样里上下中前后时您你我他她它们自己咱吧呢吗啊呀哦嘛啦去来做说请别得地起")

READER = _words("you your yours yourself yourselves you're you'll you'd you've")
ZH_READER = re.compile(r"您|你|咱")

# Verbs that, where a clause begins, tell the reader to do something; those that are as often nouns are left out.
IMPERATIVES = _words("""
add apologise apologize ask avoid bake begin blend boil book breathe bring brush build buy call carry catch check
chew choose chop clean climb close compare cook cool count cover cut dab dip divide drain draw drink drive dry eat
empty enjoy explain fill find fit fold follow freeze get give go grab grate hang have hold invite join keep knead
learn leave let lift listen look loosen lower make mark measure melt mix move notice open pack peel pick plan plant
practise practice pour preheat press prune pull push put read remember remove repeat rest reward rinse roll rub run
save say scrape scrub see sell send set shake share sharpen shelter simmer sit skip sleep slice slide soak speak
spread sprinkle squeeze start stay steam step stir stop store stretch subtract switch take talk taste tell test
thank think throw tie tighten touch treat trim try turn twist unplug use visit wait wake walk warm wash watch water
wear whisk wipe wrap write
""")
LEAD_INS = _words("""
and then so or but please just simply first next finally now always never also don't do instead
""")
NUMBER_WORDS = _words("""
two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion half quarter dozen
twice thrice
""")

# A marker counts only if something follows it: "for example" as the last words gives no example.
EXAMPLE = re.compile(
    r"\b(?:for example|for instance|such as|e\.g\.|say,)"
    r"|(?<!i )(?<!you )(?<!we )(?<!they )(?<!would )(?<!'d )(?<!also )(?<!feel )(?<!look )"
    r"\blike (?:an?|the|your|[a-z-]+(?: [a-z-]+)? (?:and|or))\b"
    r"|, like [a-z]{3,}"
    r"|\ba (?:classic|typical|good) (?:case|example)\b"
    r'|"[^"]+ [^"]+"', re.I)
ZH_EXAMPLE = re.compile(r"比如|例如|譬如|好比|就像|像[^,，。]{1,8}(?:一样|这样|那样|这类|之类)")
ZH_NUMBER = re.compile(
    r"\d|[一二三四五六七八九十百千万半两几]"
    r"[个只条块片份杯勺碗次回遍天年月周日号点分秒小度成种样步句口岁米厘公里斤克升元]")
ZH_NAME = re.compile(r"《[^》]+》|“[^”]{1,12}”|「[^」]{1,12}」")
ZH_TIP = re.compile(
    r"(?:^|[，。；：！？])(?:先|再|记得|别|试试|不妨|最好|可以|请|把|用|挑|找|拿|看看|多|少|每)"
    r"|就行|就好|一下")

OPENER = re.compile(
    r"(?:sure|certainly|of course|absolutely)\b[!,.: ]"
    r"|(?:that(?:'s| is) |what )?an? (?:great|good|excellent|interesting|wonderful|lovely|fantastic) "
    r"(?:question|topic|idea)|(?:great|good|excellent|interesting) question"
    r"|as an? (?:ai|artificial|large|language)|i(?:'m| am) an ai"
    r"|i(?:'d| would) be (?:happy|glad|delighted) to"
    r"|here(?:'s| is| are) (?:an?|the|some|my|your|one|two|three|four|five|\d)\b"
    r"|the answer (?:to|is)|to answer|you (?:asked|want to know|are asking)|when it comes to"
    r"|thank you for (?:your (?:question|interest|patience)|asking|reaching|sharing)"
    r"|it(?:'s| is) important to|in (?:conclusion|summary)|the (?:question|prompt) (?:is|asks)", re.I)
ZH_OPENER = re.compile(
    r"当然|好的[，,！!。]|没问题[，,！!]|好问题|这是(?:一)?个(?:很|非常)?(?:好|有趣|有意思)的问题"
    r"|作为(?:一个|一名)?(?:AI|人工智能|语言模型|大模型)|很高兴(?:为|能|帮)|以下是|下面是|您好！我是"
    r"|你问的是|感谢(?:您|你)的(?:提问|问题)|关于(?:您|你)的问题|首先[，,]我们")
PADDING = re.compile(
    r"let me know if|feel free to|(?:is there )?anything else (?:i|you)|how (?:can|may) i (?:help|assist)"
    r"|would you like (?:me to (?:help|explain|tell|show|give|provide|go)|to know|to hear|more)"
    r"|do you have any (?:other|more|further)|if you have any (?:other|more|further|questions)"
    r"|(?:i )?hope (?:this|that) helps|i(?:'m| am) here to (?:help|assist)|happy to help[!.]", re.I)
ZH_PADDING = re.compile(
    r"还有(?:什么|其他|别的)(?:问题|需要)|希望(?:这|对你|对您|以上)|随时(?:告诉|问|联系)我"
    r"|需要我(?:继续|再)|有什么可以帮|如果(?:你|您)(?:还|有)(?:有)?(?:什么|任何|其他)?问题")
REFUSAL = re.compile(
    r"\bi(?:'m| am)? (?:can't|cannot|can not|won't|will not|unable to|not able to|am unable to)\b.{0,40}?"
    r"\b(?:help|assist|answer|provide|do that|fulfil|comply|respond|create|write|give|tell)"
    r"|\bi don't (?:know|have (?:access|enough))\b", re.I)
ZH_REFUSAL = re.compile(
    r"(?:不能|无法|没法|不便|不方便)(?:帮|回答|提供|协助|满足|给出|处理)|我不(?:知道|清楚|了解)")

LIST_LINE = re.compile(r"^\s*(?:[-*•·–]\s|\d{1,2}[.)、]\s?|[a-zA-Z][.)]\s|#{1,6}\s|>\s|\|)", re.M)
INLINE_NUMBERS = re.compile(r"(?:^|\s|：|。)\(?\d{1,2}[.)、]\s?(?=\D)")
MARKUP = re.compile(
    r"\*\*|__|```|`[^`]+`|<\|?[a-z_/]+\|?>|\[[A-Z][A-Za-z' ]{2,30}\]|^[A-Z][\w ]{0,30}:\s*$"
    r"|\bStep \d|\]\(|[\U0001F300-\U0001FAFF\u2600-\u27bf]", re.M)
SHOUT = re.compile(r"[!！]{2,}|[?？]{2,}|\b[A-Z]{4,}\b(?:\W+[A-Z]{4,}\b)")
