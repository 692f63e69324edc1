"""What is said about a response beside how good it is, as tokens: passages that are marked in it, and critiques of it."""

from __future__ import annotations

from dataclasses import replace

from tutelage.data.chat import ChatTemplate, Rendered
from tutelage.messages import Message, Messages
from tutelage.records import Critique, Marked

# The turn that stands between a response and a critique of it. It is part of what is conditioned on, never a label.
ASKED = "What is good, what is wrong and what is missing in this response?"


def render_to_end_of_turn(template: ChatTemplate, prompt: Messages, response: Messages) -> Rendered:
    """The conversation up to the response's last token, where the score is read: as sampling leaves it, without what
    the template writes after an end of turn.
    """
    whole = template.render_response(prompt, response)
    end = max(span.end for span in whole.spans if span.trained)
    return replace(whole, ids=whole.ids[:end], response_mask=whole.response_mask[:end],
                   spans=tuple(span for span in whole.spans if span.end <= end))


def render_critique(term: Critique, template: ChatTemplate) -> Rendered:
    """Prompt, response, the question for a critique, and its words, which alone are labels."""
    asked = (*term.prompt, *term.response, Message.of("user", ASKED))
    return render_to_end_of_turn(template, asked, (Message.of("assistant", term.text),))


def marked_tokens(term: Marked, template: ChatTemplate) -> tuple[tuple[int, ...], ...]:
    """Of each passage the tokens that stand for at least one of its characters, counted from the response's first; those of
    `render_to_end_of_turn`, of which the end of turn stands for none.

    Raises:
        TemplateError: if the template rewrites the response's text.
    """
    ranges = template.locate_response(term.prompt, term.response)
    return tuple(tuple(at for at, (first, last) in enumerate(ranges) if max(first, start) < min(last, end))
                 for start, end, _ in term.passages)
