"""Chat templates as text: rendering a conversation turn by turn with every boundary known (no token ids here).

A template is a jinja source, the tokenizer's own or one the project declares as tags. It is rendered for growing
beginnings of the conversation, each of which must be how the whole begins. That gives the place where a response
starts (after the generation prompt, as at sampling) without searching for it in text or ids.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Literal, cast

from jinja2.exceptions import TemplateError as JinjaError
from transformers import PreTrainedTokenizerBase

from tutelage.errors import TemplateError
from tutelage.messages import Message

# Llama 3.1 and later write today's date into the system message: the same row would have other ids tomorrow. The date
# is pinned in the source, so that it is pinned where the saved template is served as well.
PINNED_DATE = '{%- macro strftime_now(format) -%}26 Jul 2024{%- endmacro -%}'

# Unicode noncharacters: no text may hold them, so a control token that somebody typed can be told from the template's.
OPEN, CLOSE = "\ufdd0", "\ufdd1"
MARKS = re.compile(f"[{OPEN}{CLOSE}]")

SpanRole = Literal["system", "user", "assistant", "tool", "template"]
Tools = Sequence[Mapping[str, Any]]      # JSON schemas of what the assistant may call


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of rendered text that is encoded on its own, and whose it is.

    `parts` cut it among messages, for show only: (role, where it ends inside `text`).
    """

    text: str
    parts: tuple[tuple[SpanRole, int], ...]
    turn: int = -1                # index of the assistant message whose response this is, else -1


@dataclass(frozen=True, slots=True, kw_only=True)
class TaggedTemplate:
    """A template of plain tags, for instance `<指令>…</指令> <输出>…</输出>`.

    A response ends with `assistant_close`; where that holds no token of its own in the tokenizer, the tokenizer's eos
    token follows it, so that generation has something to stop at. Tags that are not tokens are text, and a user can
    type them: add them to the tokenizer as special tokens where that matters.
    """

    user_open: str
    user_close: str
    assistant_open: str
    assistant_close: str
    system_open: str = ""
    system_close: str = "\n"

    def source(self, tokenizer: PreTrainedTokenizerBase) -> str:
        """The same as jinja, which every other tool reads: what is served is what was trained."""
        close = self.assistant_close
        if control_token(tokenizer).search(close) is None:
            if tokenizer.eos_token is None:
                raise TemplateError("the tokenizer has no eos token, and assistant_close holds no token of its own: a "
                                    "response would have no end. Add one as a special token.")
            close += str(tokenizer.eos_token)
        begin = "{{ bos_token }}" if adds_bos(tokenizer) else ""
        turn = "".join(
            f"{{% {'if' if role == 'system' else 'elif'} message['role'] == '{role}' %}}"
            f"{{{{ {_literal(before)} + message['content'] + {_literal(after)} }}}}"
            for role, before, after in (("system", self.system_open, self.system_close),
                                        ("user", self.user_open, self.user_close),
                                        ("assistant", self.assistant_open, close)))
        return (f"{begin}{{% for message in messages %}}{turn}{{% else %}}"
                "{{ raise_exception('no tag is declared for the role ' + message['role']) }}{% endif %}{% endfor %}"
                f"{{% if add_generation_prompt %}}{{{{ {_literal(self.assistant_open)} }}}}{{% endif %}}")


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)       # a JSON string is a jinja string


def adds_bos(tokenizer: PreTrainedTokenizerBase) -> bool:
    ids = tokenizer("a").input_ids
    return tokenizer.bos_token_id is not None and ids[:1] == [tokenizer.bos_token_id]


def control_token(tokenizer: PreTrainedTokenizerBase) -> re.Pattern[str]:
    """Matches any added token of the tokenizer, special or not, the longest first."""
    return _any_of(token.content for token in tokenizer.added_tokens_decoder.values() if not token.content.isspace())


def _any_of(words: Iterable[str]) -> re.Pattern[str]:
    longest_first = sorted(set(words), key=lambda word: (-len(word), word))
    return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")


class Renderer:
    """Renders conversations to pieces with one jinja source."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, source: str) -> None:
        if "strftime_now" in source and not source.startswith(PINNED_DATE):
            source = PINNED_DATE + source
        self.tokenizer, self.source = tokenizer, source
        self._control = control_token(tokenizer)
        opening, self.closing, self.end_of_turn = self._probe()
        self._end = re.compile(f"{OPEN}.*?{CLOSE}|({re.escape(self.end_of_turn)})", re.DOTALL)
        # What a user types must not steer the model. A response may hold tokens the model is meant to say itself
        # (<think>), but none that is special or that opens or ends a turn.
        added = tokenizer.added_tokens_decoder.values()
        special = {token.content for token in added if token.special}
        written = {token.content for token in added if token.content in source and not token.content.isspace()}
        self._typed = {role: _any_of(special | written) for role in ("system", "user", "tool")}
        self._typed["assistant"] = _any_of(special | {*self._control.findall(opening), self.end_of_turn})

    def _probe(self) -> tuple[str, str, str]:
        """A prompt as the template writes it; and what it writes after a response: plain text (mostly none), then the
        control token that ends it.

        Raises:
            TemplateError: if there is none, or the template does not open the response itself (trl#4147).
        """
        asked, said = [{"role": "user", "content": "ping"}], {"role": "assistant", "content": "pong"}
        prompt, bare = self._render(asked, True), self._render(asked, False)
        whole = self._render([*asked, said], False)
        if not whole.startswith(prompt) or "pong" not in whole[len(prompt):]:
            raise TemplateError("the chat template renders the prompt of a response otherwise than the response's own "
                                f"beginning: {prompt!r} is not how {whole!r} begins. Correct it, or declare tags.")
        lead, _, tail = whole[len(prompt):].partition("pong")
        special = self._control.search(lead)
        if (special and self._is_special(special.group())) or (prompt == bare and lead.strip()):
            raise TemplateError(
                f"the chat template ignores add_generation_prompt: {lead!r} would be trained as response, and sampling "
                "would go without it. Add {% if add_generation_prompt %} to it, or declare tags.")
        end = self._control.search(tail)
        if end is None:
            raise TemplateError(
                f"the chat template puts no control token after a response (only {tail!r}), so a model would never "
                "learn to stop. Add the eos token to it, or declare tags.")
        return prompt, tail[:end.start()], end.group()

    def _is_special(self, token: str) -> bool:
        return any(added.special for added in self.tokenizer.added_tokens_decoder.values() if added.content == token)

    def _render(self, messages: Sequence[dict[str, Any]], opened: bool, tools: Tools = ()) -> str:
        try:
            text = self.tokenizer.apply_chat_template(
                list(messages), chat_template=self.source, tokenize=False, add_generation_prompt=opened,
                tools=cast(Any, [dict(tool) for tool in tools] or None))
        except (JinjaError, TypeError, ValueError) as error:
            roles = ", ".join(message["role"] for message in messages)
            raise TemplateError(f"the chat template cannot render a conversation of {roles}: {error}") from None
        return str(text)

    def _plain(self, message: Message) -> dict[str, Any]:
        """What the template is given; control tokens somebody typed stand between marks."""
        def marked(text: str) -> str:
            return self._typed[message.role].sub(f"{OPEN}\\g<0>{CLOSE}", MARKS.sub("", text))

        plain: dict[str, Any] = {"role": message.role, "content": marked(message.text)}
        if message.tool_calls:
            plain["tool_calls"] = [_in_texts(_parsed(call), marked) for call in message.tool_calls]
        given = (("name", message.name), ("tool_call_id", message.tool_call_id))
        return plain | {key: marked(value) for key, value in given if value}

    def _marked_tool(self, text: str) -> str:
        return self._typed["system"].sub(f"{OPEN}\\g<0>{CLOSE}", MARKS.sub("", text))

    def _check_tools(self, messages: Sequence[Message], tools: Tools) -> None:
        """Refuse what the template would leave out in silence: a response without its call, a call without its schema."""
        for word, used in (("tool_calls", any(message.tool_calls for message in messages)), ("tools", bool(tools))):
            if used and re.search(rf"\b{word}\b", self.source) is None:
                raise TemplateError(f"the chat template renders no {word}, which this conversation has. Use a model whose "
                                    "template does, or leave such rows out.")

    def pieces(self, messages: Sequence[Message], trained: Set[int], *, opened: bool, tools: Tools = ()) -> list[Piece]:
        """The conversation cut before and after each response; ends with the generation prompt if `opened`.

        What the template writes after the last response's end of turn is left out: a sample ends there as well. Earlier
        responses that are not in `trained` and that the template renders otherwise later (it strips their thinking)
        are part of the prompt, as they are at sampling.

        Raises:
            TemplateError: if the template refuses the conversation, leaves its tools out, or is unstable around a response in
                `trained`.
        """
        self._check_tools(messages, tools)
        plain, tools = [self._plain(message) for message in messages], [_in_texts(tool, self._marked_tool) for tool in tools]
        whole = self._render(plain, opened, tools)
        pieces, done, begun = [], 0, 0      # characters cut so far, and the first message that is not among them
        for turn, message in enumerate(messages):
            if message.role != "assistant":
                continue
            try:
                start, end = self._response(plain, turn, whole, tools)
            except TemplateError:
                if turn in trained:
                    raise
                continue
            pieces.append(self._between(plain, range(begun, turn), whole[:start], done, tools))
            pieces.append(Piece(whole[start:end], (("assistant", end - start),), turn))
            done, begun = end, turn + 1
        if opened or begun < len(plain):
            pieces.append(self._between(plain, range(begun, len(plain)), whole, done, tools))
        return [piece for piece in pieces if piece.text]

    def _response(self, plain: list[dict[str, Any]], turn: int, whole: str, tools: Tools) -> tuple[int, int]:
        """Where in `whole` the response of `turn` begins and where its end of turn ends."""
        if turn == 0:
            raise TemplateError("the conversation begins with the assistant, so its first response has no prompt.")
        prompt = self._render(plain[:turn], True, tools)
        said = self._render(plain[:turn + 1], False, tools)
        end = next((found.end() for found in self._end.finditer(said, len(prompt)) if found.group(1)), None)
        if not said.startswith(prompt):
            raise _unstable(prompt, said, turn, f"the prompt of turn {turn + 1} otherwise with that turn")
        if end is None:
            raise TemplateError(f"the chat template does not end turn {turn + 1} with {self.end_of_turn!r}.")
        if not whole.startswith(said[:end]):
            raise _unstable(said[:end], whole, turn, f"turn {turn + 1} otherwise once later turns are there")
        return len(prompt), end

    def _between(self, plain: list[dict[str, Any]], turns: range, until: str, done: int, tools: Tools) -> Piece:
        """The text from `done` to the end of `until`, its messages told apart where the template lets them be."""
        parts: list[tuple[SpanRole, int]] = []
        for turn in turns:
            role: Any = plain[turn]["role"]
            try:
                rendered = self._render(plain[:turn + 1], False, tools)
            except TemplateError:      # many templates fold the system message into the user's and refuse it alone
                continue
            if until.startswith(rendered) and len(rendered) > done:
                parts.append((role, len(rendered) - done))
        if not parts or parts[-1][1] < len(until) - done:
            parts.append(("template", len(until) - done))
        return Piece(until[done:], tuple(parts))


def _parsed(call: Mapping[str, Any]) -> Mapping[str, Any]:
    """The call with its arguments as an object: OpenAI writes them as a text, templates want what it says."""
    function = call.get("function")
    if not isinstance(function, Mapping) or not isinstance(function.get("arguments"), str):
        return call
    try:
        return {**call, "function": {**function, "arguments": json.loads(function["arguments"])}}
    except ValueError:
        return call


def _in_texts(value: Any, change: Callable[[str], str]) -> Any:
    """The value with every text inside it changed, keys too."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {change(str(key)): _in_texts(each, change) for key, each in value.items()}
    return [_in_texts(each, change) for each in value] if isinstance(value, list | tuple) else value


def _unstable(before: str, after: str, turn: int, what: str) -> TemplateError:
    pairs = enumerate(zip(before, after, strict=False))
    at = next((place for place, (one, other) in pairs if one != other), len(after))
    return TemplateError(
        f"the chat template renders {what} (one that strips thinking does so): it wrote {before[at:at + 40]!r}, then "
        f"{after[at:at + 40]!r}. A model trained on turn {turn + 1} would see what it is never served. Train on the "
        "last response only, or declare tags.")
