"""Fill `templates.txt` in and write `corpus.jsonl`: run it again and the same file comes out.

    python tests/privacy/make_corpus.py

Check digits come from python-stdnum, not from the rules that are measured. IP addresses are taken from the ranges for
documentation or at random; e-mail domains are reserved ones. `fold` is "held_out" for a third of the cases, at which
nobody looked while tuning, and "challenge" for those that were written after the rules, to break them.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Callable
from pathlib import Path

from stdnum import luhn, verhoeff
from stdnum.br import cpf as br_cpf
from stdnum.ch import ssn as ch_ssn
from stdnum.cn import ric, uscc
from stdnum.es import ccc, dni, nie
from stdnum.fr import nir
from stdnum.gb import nhs
from stdnum.iso7064 import mod_97_10
from stdnum.it import codicefiscale
from stdnum.nl import bsn
from stdnum.pl import pesel
from stdnum.us import ssn

HERE = Path(__file__).parent
CHECKED = ("national_id", "bank_card", "iban", "company_id")      # kinds of which every template is filled in twice
WIDE = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
GIVEN = ["James", "Maria", "Oliver", "Priya", "Chen", "Fatima", "Lucas", "Ingrid", "Tomas", "Aisha"]
FAMILY = ["Whitfield", "Okafor", "Lindqvist", "Marchetti", "Delgado", "Novak", "Harrington", "Svensson", "Castellano", "Brandt"]
HAN_FAMILY = "王李张刘陈杨赵黄周吴徐孙马朱胡郭何林罗高欧阳司马"
HAN_GIVEN = ["伟", "秀英", "建国", "思雨", "子轩", "丽", "浩然", "晓明", "雪梅", "志强"]
STREETS = ["Maple Street", "Oak Ave", "Willow Lane", "Kingsway Road", "St. James Court", "North Harbor Blvd", "Elm Dr.",
           "Victoria Terrace", "Old Mill Rd", "Sunset Parkway"]
TOWNS = ["Springfield, IL 62704", "Portland, OR 97205", "Austin, TX 78701-4321", "Leeds LS1 4AP", "Bristol BS8 1TH"]
REGIONS = ["北京市海淀区", "上海市浦东新区", "广东省深圳市南山区", "浙江省杭州市西湖区", "四川省成都市武侯区",
           "江苏省苏州市工业园区", "湖北省武汉市洪山区", "广西壮族自治区南宁市青秀区"]
ROADS = ["中关村大街", "世纪大道", "科技园路", "文三路", "人民南路四段", "星湖街", "珞喻路", "民族大道"]


class Generators:
    """Every `{word}` of the templates is a method of this class."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def digits(self, n: int, first: str = "0123456789") -> str:
        return self.rng.choice(first) + "".join(self.rng.choice("0123456789") for _ in range(n - 1))

    def pick(self, *values: str) -> str:
        return self.rng.choice(values)

    def until(self, make: Callable[[], str], valid: Callable[[str], bool]) -> str:
        while not valid(value := make()):
            pass
        return value

    def small(self) -> str:
        return self.pick("2", "14B", "7", "305")

    def box(self) -> str:
        return self.digits(4, "123456789")

    def email(self) -> str:
        user = self.pick(f"{self.pick(*GIVEN).lower()}.{self.pick(*FAMILY).lower()}", f"u{self.digits(5)}",
                         f"{self.pick(*FAMILY).lower()}_{self.digits(2)}", f"{self.digits(9, '123456789')}")
        return f"{user}@{self.pick('example.com', 'mail.example.org', 'example.co.uk', 'example.com.cn', 'dept.example.edu')}"

    def email_plus(self) -> str:
        return self.email().replace("@", "+news@")

    def email_at(self) -> str:
        return self.email().replace("@", " [at] ").replace(".", " [dot] ") if self.rng.random() < 0.5 else \
            self.email().replace("@", "(at)")

    def email_upper(self) -> str:
        return self.email().upper()

    def email_wide(self) -> str:
        return self.email().translate(WIDE)

    def us_plain(self) -> str:
        return self.pick("212", "415", "617", "312") + self.digits(3, "23456789") + self.digits(4)

    def us_phone(self) -> str:
        plain = self.us_plain()
        return self.pick("({}) {}-{}", "{}-{}-{}", "{}.{}.{}", "+1 {} {} {}", "+1-{}-{}-{}", "1-{}-{}-{}").format(
            plain[:3], plain[3:6], plain[6:])

    def uk_mobile(self) -> str:
        return self.pick("07{} {}", "+44 7{} {}", "07{}{}").format(self.digits(3, "4579"), self.digits(6))

    def uk_landline(self) -> str:
        return self.pick("020 7946 0{}", "+44 20 7946 0{}", "(020) 7946 0{}").format(self.digits(3))

    def intl_phone(self) -> str:
        return self.pick(f"+49 30 {self.digits(8, '23456')}", f"+33 6 {' '.join(self.digits(2) for _ in range(4))}",
                         f"+1 415 {self.digits(3, '23456789')} {self.digits(4)}",
                         f"+81 90-{self.digits(4, '23')}-{self.digits(4)}",
                         f"+91 98{self.digits(3)} {self.digits(5)}", f"+55 11 9{self.digits(4, '678')}-{self.digits(4)}")

    def cn_mobile_plain(self) -> str:
        return self.pick("13", "15", "18") + self.digits(9, "56789")

    def cn_mobile(self) -> str:
        plain = self.cn_mobile_plain()
        return self.pick(plain, plain, f"{plain[:3]}-{plain[3:7]}-{plain[7:]}", f"{plain[:3]} {plain[3:7]} {plain[7:]}")

    def cn_mobile_spaced(self) -> str:
        plain = self.cn_mobile_plain()
        return f"{plain[:3]} {plain[3:7]} {plain[7:]}"

    def cn_mobile_wide(self) -> str:
        return self.cn_mobile_plain().translate(WIDE)

    def cn_mobile_intl(self) -> str:
        return self.pick("+86 ", "+86", "0086-", "+86-") + self.cn_mobile_plain()

    def cn_landline(self) -> str:
        return self.pick("010-", "021-", "(0755)", "0571 ", "028-") + self.digits(8, "2568")

    def hk_phone(self) -> str:
        return f"+852 {self.digits(4, '69')} {self.digits(4)}"

    def tw_phone(self) -> str:
        return f"09{self.digits(2)}-{self.digits(3)}-{self.digits(3)}"

    def birth(self) -> str:
        return f"{self.rng.randint(1950, 2005)}{self.rng.randint(1, 12):02d}{self.rng.randint(1, 28):02d}"

    def cn_id(self) -> str:
        body = self.pick("110105", "310115", "440305", "330106", "510107", "320506") + self.birth() + self.digits(3)
        return body + ric.calc_check_digit(body + "0")

    def cn_id_x(self) -> str:
        return self.until(self.cn_id, lambda value: value.endswith("X"))

    def cn_id_lower_x(self) -> str:
        return self.cn_id_x().lower()

    def cn_id_wide(self) -> str:
        return self.cn_id().translate(WIDE)

    def cn_id_spaced(self) -> str:
        value = self.cn_id()
        return f"{value[:6]} {value[6:14]} {value[14:]}"

    def cn_id_bad(self) -> str:
        value = self.cn_id()
        return value[:-1] + ("3" if value[-1] != "3" else "4")

    def cn_id_masked(self) -> str:
        value = self.cn_id()
        return f"{value[:6]}********{value[14:]}"

    def cn_id15(self) -> str:
        return self.pick("110105", "310115", "440305") + self.birth()[2:] + self.digits(3)

    def hkid(self) -> str:
        letter, body = self.pick(*"ABCDEGKPRVZ"), self.digits(6)
        total = 36 * 9 + (ord(letter) - 55) * 8 + sum(int(d) * w for d, w in zip(body, range(7, 1, -1), strict=True))
        return f"{letter}{body}({'0123456789A'[-total % 11]})"

    def twid(self) -> str:
        letter, body = self.pick(*"ABCDEFGH"), self.pick("1", "2") + self.digits(7)
        code = ord(letter) - 55
        total = code // 10 + code % 10 * 9 + sum(int(d) * w for d, w in zip(body, range(8, 0, -1), strict=True))
        return f"{letter}{body}{-total % 10}"

    def ssn(self) -> str:
        return self.until(lambda: f"{self.digits(3, '1234567')}-{self.digits(2)}-{self.digits(4)}", ssn.is_valid)

    def ssn_plain(self) -> str:
        return self.ssn().replace("-", "")

    def nino(self) -> str:
        return self.pick("AB {} {} {} C", "JK{}{}{}A", "SX {} {} {} D").format(*(self.digits(2) for _ in range(3)))

    def nhs(self) -> str:
        value = self.until(lambda: self.digits(10, "49"), nhs.is_valid)
        return f"{value[:3]} {value[3:6]} {value[6:]}"

    def dni(self) -> str:
        body = self.digits(8)
        return body + dni.calc_check_digit(body)

    def nie(self) -> str:
        body = self.pick("X", "Y", "Z") + self.digits(7)
        return body + nie.calc_check_digit(body)

    def cf(self) -> str:
        body = self.pick("RSSMRA", "VRDLGU", "BNCPLA") + "85M01" + self.pick("H501", "F205", "L219")
        return body + codicefiscale.calc_check_digit(body)

    def cpf(self) -> str:
        return br_cpf.format(self.until(lambda: self.digits(11), br_cpf.is_valid))

    def nir(self) -> str:
        body = f"{self.pick('1', '2')}{self.digits(2, '5678')}{self.rng.randint(1, 12):02d}75"
        body += self.digits(3, "012") + self.digits(3, "012")
        value = body + nir.calc_check_digits(body + "00")
        return self.pick(value, " ".join((value[0], value[1:3], value[3:5], value[5:7], value[7:10], value[10:13], value[13:])))

    def pesel(self) -> str:
        return self.until(lambda: self.birth()[2:] + self.digits(5), pesel.is_valid)

    def aadhaar(self) -> str:
        body = self.digits(11, "23456789")
        value = body + verhoeff.calc_check_digit(body)
        return f"{value[:4]} {value[4:8]} {value[8:]}"

    def sin(self) -> str:
        body = self.digits(8, "1234567")
        value = body + luhn.calc_check_digit(body)
        return f"{value[:3]}-{value[3:6]}-{value[6:]}"

    def bsn(self) -> str:
        return self.until(lambda: self.digits(9, "12"), bsn.is_valid)

    def ahv(self) -> str:
        return self.until(lambda: f"756.{self.digits(4)}.{self.digits(4)}.{self.digits(2)}", ch_ssn.is_valid)

    def personnummer(self) -> str:
        body = self.birth()[2:] + self.digits(3)
        return f"{body[:6]}-{body[6:]}{luhn.calc_check_digit(body)}"

    def luhn_number(self, start: str, length: int) -> str:
        body = start + self.digits(length - 1 - len(start))
        return body + luhn.calc_check_digit(body)

    def grouped(self, value: str, separator: str) -> str:
        return separator.join(value[at:at + 4] for at in range(0, len(value), 4))

    def card(self) -> str:
        value = self.luhn_number(self.pick("4539", "5412", "6222", "3530", "2720", "6011"), 16)
        return self.pick(value, self.grouped(value, " "), self.grouped(value, "-"))

    def card_visa(self) -> str:
        return self.luhn_number("4716", 16)

    def card_amex(self) -> str:
        value = self.luhn_number(self.pick("34", "37"), 15)
        return self.pick(value, f"{value[:4]} {value[4:10]} {value[10:]}")

    def card_union(self) -> str:
        return self.pick(self.luhn_number("622202", 16), self.card_union19())

    def card_union19(self) -> str:
        return self.luhn_number(self.pick("622848", "621700", "620058", "955880"), 19)

    def card_wide(self) -> str:
        return self.luhn_number("622588", 16).translate(WIDE)

    def card_spaced(self) -> str:
        return self.grouped(self.card_union19(), " ")

    def luhn_order(self) -> str:
        """A number that passes Luhn and looks like a card; only the word before it says that it is none."""
        return self.luhn_number(self.pick("4", "62", "51"), 16)

    def order18(self) -> str:
        return self.until(lambda: self.digits(18, "123456"), lambda value: not ric.is_valid(value))

    def iban_plain(self) -> str:
        country, length = self.rng.choice((("DE", 18), ("ES", 20), ("AT", 16), ("SE", 20)))
        body = self.until(lambda: self.digits(length), ccc.is_valid if country == "ES" else bool)
        return country + mod_97_10.calc_check_digits(body + country) + body

    def iban(self) -> str:
        value = self.iban_plain()
        return self.pick(value, self.grouped(value, " "))

    def iban_lower(self) -> str:
        return self.iban_plain().lower()

    def uscc(self) -> str:
        body = self.pick("91", "92", "93", "12", "51") + self.pick("440300", "110108", "310115", "330106") + "".join(
            self.rng.choice("0123456789ABCDEFGHJKLMNPQRTUWXY") for _ in range(9))
        return body + uscc.calc_check_digit(body + "0")

    def uscc_wide(self) -> str:
        return self.uscc().translate(WIDE)

    def passport_cn(self) -> str:
        return self.pick("E" + self.digits(8), "G" + self.digits(8), "E" + self.pick(*"ABCDEF") + self.digits(7))

    def passport_us(self) -> str:
        return self.digits(9, "123456")

    def passport_us_letter(self) -> str:
        return self.pick("A", "C") + self.digits(8)

    def passport_uk(self) -> str:
        return self.digits(9, "5")

    def hk_permit(self) -> str:
        return self.pick("C", "H") + self.digits(8)

    def mrz(self) -> str:
        def check(text: str) -> str:
            values = [0 if c == "<" else int(c, 36) for c in text]
            return str(sum(v * w for v, w in zip(values, [7, 3, 1] * len(values), strict=False)) % 10)
        number, born, until, personal = "L" + self.digits(8), self.birth()[2:], "300415", "<" * 14
        parts = (number + check(number), born + check(born), until + check(until), personal + check(personal))
        return f"{parts[0]}UTO{parts[1]}F{parts[2]}{parts[3]}{check(parts[0] + parts[1] + parts[2] + parts[3])}"

    def plate_cn(self) -> str:
        return self.pick(*"京沪粤苏浙川渝") + self.pick(*"ABCDE") + self.pick(
            self.digits(5), "8" + self.pick(*"KMPT") + self.digits(3))

    def plate_ne(self) -> str:
        return self.pick(*"京沪粤苏") + self.pick(*"AB") + self.pick(
            "D" + self.digits(5), "F" + self.digits(5), "DA" + self.digits(4))

    def plate_dot(self) -> str:
        value = self.plate_cn()
        return f"{value[:2]}·{value[2:]}"

    def plate_us(self) -> str:
        return self.pick(f"7{self.pick('ABC', 'KXR')}{self.digits(3)}", f"{self.pick('BKT', 'HZL')}-{self.digits(4)}")

    def plate_uk(self) -> str:
        return self.pick("LB", "AK") + self.digits(2, "1256") + self.pick(" ", "") + self.pick("XTR", "OVN")

    def ip4(self) -> str:
        return self.pick("203.0.113.", "198.51.100.", "192.0.2.", "93.184.216.") + str(self.rng.randint(1, 254))

    def ip6(self) -> str:
        return self.pick("2001:db8::{}", "2001:db8:85a3::8a2e:370:{}", "2001:db8:0:1:1:1:1:{}").format(
            f"{self.rng.randint(256, 65535):x}")

    def street(self) -> str:
        return f"{self.rng.randint(3, 9899)} {self.pick(*STREETS)}"

    def city_zip(self) -> str:
        return self.pick(*TOWNS)

    def cn_address(self) -> str:
        return f"{self.pick(*REGIONS)}{self.pick(*ROADS)}{self.rng.randint(1, 999)}号"

    def cn_address_long(self) -> str:
        tail = self.pick("{}栋{}单元{}室", "{}号楼{}层{}", "{}幢{}单元{}").format(*(self.rng.randint(1, 30) for _ in range(3)))
        return self.cn_address() + tail

    def cn_address_village(self) -> str:
        return self.pick("河南省商丘市睢县", "湖南省岳阳市平江县") + self.pick("城关镇李家村", "三阳乡大坪村") + (
            f"{self.rng.randint(1, 20)}组{self.rng.randint(1, 99)}号")

    def cn_name(self) -> str:
        return self.pick(*HAN_FAMILY[:20], "欧阳", "司马") + self.pick(*HAN_GIVEN)

    def en_first(self) -> str:
        return self.pick(*GIVEN)

    def en_last(self) -> str:
        return self.pick(*FAMILY)

    def en_name(self) -> str:
        return f"{self.pick(*GIVEN)} {self.pick(*FAMILY)}"


def fill(text: str, make: Generators) -> str:
    text = re.sub(r"(?<!\{)\{(\w+)\}(?!\})", lambda found: getattr(make, found[1])(), text)
    text = re.sub(r"(?<=:)\{(\w+)\}(?=\]\])", lambda found: getattr(make, found[1])(), text)
    return text.replace("{{", "{").replace("}}", "}")


def case(number: int, copy: int, language: str, template: str, challenge: bool) -> dict[str, object]:
    name = f"{number:03d}{'ab'[copy]}"
    rest, text, findings = fill(template, Generators(random.Random(f"privacy corpus {name}"))), "", []
    while marked := re.search(r"\[\[(\w+):(.*?)\]\]", rest):
        text += rest[:marked.start()]
        findings.append({"kind": marked[1], "start": len(text), "end": len(text) + len(marked[2])})
        text, rest = text + marked[2], rest[marked.end():]
    place = int(hashlib.sha256(f"fold {number}".encode()).hexdigest(), 16) % 3
    fold = "challenge" if challenge else "held_out" if place == 0 else "tune"
    return {"id": name, "language": language, "fold": fold, "text": text + rest, "findings": findings}


def corpus() -> list[dict[str, object]]:
    lines = (HERE / "templates.txt").read_text(encoding="utf-8").split("\n")
    border = next(at for at, line in enumerate(lines) if line.startswith("# == challenge"))
    templates = [(*line.split("|", 1), at > border) for at, line in enumerate(lines) if line.strip() and not line.startswith("#")]
    return [case(number, copy, language, template, challenge) for number, (language, template, challenge) in enumerate(templates)
            for copy in range(2 if any(f"[[{kind}:" in template for kind in CHECKED) else 1)]


if __name__ == "__main__":
    text = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in corpus())
    (HERE / "corpus.jsonl").write_text(text, encoding="utf-8")
