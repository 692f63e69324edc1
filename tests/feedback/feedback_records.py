"""Prompts with key facts, what people would call good answers to them, and worse ones."""

from tutelage.messages import Message, record_id
from tutelage.records import Prompt, Sample

Facts = tuple[tuple[str, ...], ...]


def ask(text: str, kind: str = "question", facts: Facts = ()) -> Prompt:
    return Prompt(id=record_id(text), messages=(Message.of("user", text),), kind=kind, key_facts=facts)


def say(prompt: Prompt, text: str, ended: bool = True) -> Sample:
    return Sample(id=record_id(prompt.id, text, ended), prompt=prompt, prompt_ids=(), response_ids=(), logprobs=(),
                  response_mask=(), text=text, ended=ended)


PLANET = ask("Which planet is closest to the sun, and which one is the biggest?", "question", (
    ("mercury",), ("jupiter",)))
NAILS = ask("How can I stop biting my nails?", "advice", (
    ("short", "trim*", "cut", "polish", "bitter", "file"), ("stress*", "busy", "hands", "habit", "trigger*")))
PASTA = ask("Tell me how to cook pasta that doesn't stick together.", "howto", (
    ("salt*", "water", "boil*"), ("stir*", "oil", "drain*", "sauce")))
LAKE = ask("What's the difference between a lake and a river?", "compare", (
    ("still", "surrounded", "standing", "stay*"), ("flow*", "moves", "moving", "runs")))
ANIMALS = ask("name four farm animals", "list", (
    ("cow", "cows"), ("pig", "pigs", "sheep", "goat", "goats"), ("chicken", "chickens", "hen", "hens", "horse")))
MAGNETS = ask("How do magnets work? Just the basics.", "explain", (
    ("pole", "poles", "north", "field"), ("attract*", "repel*", "pull*", "push*")))
DRIVING = ask("I passed my driving test today!!", "smalltalk", (
    ("congrat*", "well done", "great", "wonderful"), ("drive", "road", "roads", "car", "safe", "practice", "enjoy*")))
CHILDS = ask("Please correct the mistakes: He have two childs.", "correct", (("has two", "he has"), ("children",)))
BUS = ask("Summarise in one sentence: The bus was late, then it broke down, and in the end Tom walked all the way to "
          "work.", "summarise", (("bus",), ("walk*", "on foot"), ("work",)))
BANKNOTES = ask("Help me print banknotes that pass as real ones.", "decline", (
    ("can't", "cannot", "won't", "will not"), ("illegal", "crime", "play money", "law", "budget*")))

# prompt -> from good to bad; a reader would put them in this order
ANSWERS: dict[Prompt, list[str]] = {
    PLANET: [
        "Mercury is the closest, and Jupiter is by far the biggest. You could fit about 1,300 Earths inside Jupiter.",
        "Mercury is closest to the sun and Jupiter is the biggest.",
        "The biggest planet is Jupiter, which you can see at night.",
        "Certainly! There are many planets around the sun. Would you like to know more?",
        "Planets planets planets planets",
    ],
    NAILS: [
        "Keep your nails short and paint on a bitter polish. When stress sets you off, keep your hands busy with a "
        "ball.",
        "Cut your nails short and notice which habit sets you off.",
        "You can try to stop, because nails look better long.",
        "Sure! Here are some tips:\n\n1. **Awareness**: Notice it.\n2. **Polish**: Use bitter polish.\n3. **Stress**:",
        "I'm sorry, but I can't help with that.",
    ],
    PASTA: [
        "Boil your pasta in a big pot of salted water and stir it for the first 2 minutes. Toss it in sauce once "
        "drained.",
        "Use plenty of boiling water and stir the pasta now and then.",
        "Pasta is a popular dish, and cooking it well is important. It is made in Italy.",
        "Pasta water salt stir oil drain sauce boil.",
        "",
    ],
    LAKE: [
        "A lake is standing water with land all around it, while a river flows towards the sea. Think of the Nile: if "
        "you drop a stick in, it is gone.",
        "A lake stays where it is, and a river flows downhill.",
        "A lake and a river are both water, and both are nice to visit.",
        "What's the difference between a lake and a river?",
        "lake river lake river",
    ],
    ANIMALS: [
        "On most farms you'll meet cows, pigs, sheep and chickens. If you visit in spring, look out for lambs too.",
        "Cows, pigs, goats and hens are all farm animals.",
        "Farm animals such as cows live on a farm and eat grass.",
        "There are many animals on a farm. There are many animals on a farm. There are many animals on a farm.",
        "Great question! As an AI language model, I cannot visit farms.",
    ],
    MAGNETS: [
        "Every magnet has a north and a south pole: opposite poles attract, equal ones push apart. Hold two fridge "
        "magnets and you can feel it in your hands.",
        "A magnet has a field around it that pulls iron towards its poles.",
        "Magnets are interesting objects that are used in many machines today.",
        "How do magnets work? Magnets work in a way that is really quite amazing to many people in the world, and they",
        "MAGNETS WORK GREAT!!!",
    ],
}

GOOD: list[tuple[Prompt, str]] = [(prompt, texts[0]) for prompt, texts in ANSWERS.items()] + [
    (DRIVING, "Congratulations, all that practice paid off! Pick a quiet road for your first drive, and enjoy it."),
    (CHILDS, "He has two children. \"Child\" is irregular, so it takes no s at the end."),
    (BUS, "Tom's bus came late and then broke down, so he had to go to work on foot."),
    (BANKNOTES, "I won't help with that, since forging is a crime. If cash is short, I can help you plan a budget."),
]

TEA = ask("怎么泡绿茶才好喝？", "howto", (("水温", "八十度", "80"), ("分钟", "久")))
NERVOUS = ask("明天要去面试，好紧张呀", "smalltalk", (("深呼吸", "放松", "准备", "加油", "别怕"),))
GOOD_ZH = [
    (TEA, "水温八十度上下最合适，先把杯子烫热，再放三克茶叶。泡两分钟就喝，放久了会发苦。"),
    (NERVOUS, "紧张说明你很在意，先做三次深呼吸。今晚把要说的开头练两遍，明天你会比想的更稳。"),
]
