"""Addresses of homes, and names where the text itself says that one follows.

Neither has a checksum. A name in running text is not looked for: without a model, "Paris" and "Faith" cannot be told
from people, and a rule that guesses would take words out of stories and history.
"""

from __future__ import annotations

from collections.abc import Iterator

import regex

from tutelage.privacy.finding import Finding

_STREET = (r"(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Place|Pl|Way|Terrace|Square|Sq|"
           r"Highway|Hwy|Parkway|Pkwy|Circle|Close|Crescent|Gardens|Row|Broadway)")
_TOWN = (r"(?:,? [A-Z][A-Za-z.'\-]+(?: [A-Z][a-z]+){0,2})?"
         r"(?:,? [A-Z]{2} \d{5}(?:-\d{4})?|,? [A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2})(?![A-Za-z0-9])")
_ENGLISH = regex.compile(
    r"(?<![A-Za-z0-9.,$#/\-])(?!(?:19|20)\d{2} )\d{1,5}[A-Za-z]?(?:-\d{1,4})? (?:[NSEW]\.? )?"
    r"(?:[A-Z][A-Za-z.'\-]*[a-z.] |\d{1,3}(?:st|nd|rd|th) ){1,3}"
    + _STREET + r"(?![A-Za-z])\.?(?P<unit>,? (?:Apt|Apartment|Suite|Unit|Flat|#)\.? ?[0-9A-Z]{1,5})?(?P<town>" + _TOWN + ")?")
_YEARS = regex.compile(r"(?<![A-Za-z0-9.,$#/\-])(?:19|20)\d{2} (?:[A-Z][a-z]+ ){1,3}" + _STREET + r"(?![A-Za-z])\.?" + _TOWN)
_BOX = regex.compile(r"(?<![A-Za-z0-9])P\.? ?O\.? Box \d{1,6}(?:" + _TOWN + ")?")


def english_addresses(text: str) -> Iterator[Finding]:
    for found in _ENGLISH.finditer(text):
        sure = found["unit"] or found["town"]
        yield Finding("address", "en.street", found.start(), found.end(), 0.9 if sure else 0.6)
    for pattern, rule in ((_YEARS, "en.street"), (_BOX, "en.box")):
        for found in pattern.finditer(text):
            yield Finding("address", rule, found.start(), found.end(), 0.85)


_PROVINCE = (r"(?:北京|上海|天津|重庆|河北|山西|辽宁|吉林|黑龙江|江苏|浙江|安徽|福建|江西|山东|河南|湖北|湖南|广东|海南|四川|"
             r"贵州|云南|陕西|甘肃|青海|台湾|内蒙古|广西|西藏|宁夏|新疆|香港|澳门)(?:省|市|壮族自治区|维吾尔自治区|回族自治区|自治区|特别行政区)?")
_AREA = r"(?:\p{Han}{2,7}?(?:市|自治州|地区|盟))?(?:\p{Han}{1,7}?(?:园区|新区|区|县|市|旗))?(?:\p{Han}{1,6}?(?:镇|乡|街道))?"
_DOOR = r"\d{1,5}(?:[-之]\d{1,4})?(?:号院|号|弄)"
_ROAD = (r"(?:\p{Han}{1,8}?(?:大街|大道|路|街|巷|弄|胡同|里|道)(?:[东南西北中])?(?:[一二三四五六七八九十]{1,2}段)?" + _DOOR
         + r"|\p{Han}{1,10}?(?:村|屯|庄)(?:\d{1,3}组)?\d{1,4}号)")
_TAIL = (r"(?P<tail>(?:[,， ]?(?:\p{Han}{2,8}(?:小区|花园|大厦|公寓|苑))?"
         r"(?:\d{1,4}|[A-Z])(?:号楼|栋|幢|座|楼|单元|层|室|房|号)(?:\d{1,4})?)*)")
_CHINESE = regex.compile(rf"(?:(?P<province>{_PROVINCE}){_AREA}|(?P<area>\p{{Han}}{{2,8}}?[市县区]))?{_ROAD}{_TAIL}")
_LEAD = regex.compile(r".*(?:住在|位于|寄到|寄至|送到|送至|地址是|地址|家住|户籍地|搬到|在|到|至|是|于|住|往)(?=\p{Han})")


def chinese_addresses(text: str) -> Iterator[Finding]:
    """Road or village with a number, and the parts before and after it. A road and a number alone could be a shop's."""
    if "号" not in text and "弄" not in text:
        return
    for found in _CHINESE.finditer(text):
        start = found.start()
        if not found["province"] and (lead := _LEAD.match(text[start:found.end()])):
            start += lead.end()
        named = bool(found["province"] or found["area"])
        confidence = 0.9 if named and found["tail"] else 0.75 if named else 0.6 if found["tail"] else 0.4
        yield Finding("address", "cn", start, found.end(), confidence)


# The commonest surnames of mainland China, four fifths of its people and more.
_SURNAMES = (
    "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎余潘杜戴夏钟汪田"
    "任姜范方石姚谭廖邹熊金陆郝孔白崔康毛邱秦江史顾侯邵孟龙万段雷钱汤尹黎易常武乔贺赖龚文庞樊兰殷施陶洪翟安颜倪严牛温芦季"
    "俞章鲁葛伍韦申尤毕聂焦向柳邢岳齐梅莫庄辛管祝左涂谷祁时舒耿牟卜路詹关苗凌费纪靳盛童欧甄项曲成游阳裴席卫查屈鲍位覃霍翁"
    "隋甘景薄单包司柏宁柯阮桂闵解强柴华车冉房边")
_DOUBLE = "欧阳|司马|上官|诸葛|东方|皇甫|尉迟|公孙|慕容|令狐|司徒|夏侯"
_HAN_NAME = rf"(?:(?:{_DOUBLE})\p{{Han}}{{1,2}}|[{_SURNAMES}]\p{{Han}}{{1,2}}?)"
_AFTER = r"(?=[,，。.;；、!！?？）)\s]|$|今年|来自|是|性别|电话|手机|身份证)"
_CHINESE_NAME = regex.compile(
    r"(?:(?:姓名|联系人|收件人|收货人|寄件人|户主|申请人|患者|户名|法人)(?:姓名)?[:： 是为]{0,2}"
    rf"|我(?:的名字)?(?:叫做?|是叫)|我的名字(?:是|叫))({_HAN_NAME}){_AFTER}")
_CHINESE_CUE = regex.compile("姓名|[系件货]人|户[主名]|申请人|患者|法人|我(?:的名字)?[是叫]|名字")
_ENGLISH_CUE = regex.compile("(?i)name(?::| is )")
_ENGLISH_NAME = regex.compile(
    r"(?:\b[Mm]y (?:full |real )?name is |(?<![A-Za-z])(?<![A-Za-z][ _])(?i:(?:full|patient|customer|client|employee|contact|"
    r"student|applicant|cardholder|recipient)[ _])?[Nn](?:ame|AME): ?)"
    r"((?!The |Your |Required |None )[A-Z][a-z'’\-]+(?: [A-Z]\.)?(?: [A-Z][A-Za-z'’\-]*[a-z]){1,2})(?![A-Za-z0-9\-])")


def names(text: str) -> Iterator[Finding]:
    for pattern, cue, rule in ((_CHINESE_NAME, _CHINESE_CUE, "cn.introduced"), (_ENGLISH_NAME, _ENGLISH_CUE, "en.introduced")):
        for found in pattern.finditer(text) if cue.search(text) else ():
            yield Finding("name", rule, found.start(1), found.end(1), 0.7)
