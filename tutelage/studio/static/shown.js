// Text of people and models, made safe to show. Three layers: raw HTML is shown as the text it is, what Markdown gives
// is sanitised to a short list of tags, and the page's content policy runs no script that is not ours. Nothing is
// fetched: an image is shown as its description, a link as its words and its address.

import DOMPurify from "../vendor/purify.es.mjs";
import { Marked } from "../vendor/marked.esm.js";

const LONGEST = 60000;                    // characters; beyond, Markdown is not worth the wait
const TAGS = ["p", "br", "em", "strong", "del", "code", "pre", "ul", "ol", "li", "blockquote", "h4", "h5", "h6",
  "table", "thead", "tbody", "tr", "th", "td", "hr", "span", "#text"];

const escape = (text) => text.replace(/[&<>"']/g, (sign) => `&#${sign.codePointAt(0)};`);

const marked = new Marked({
  gfm: true, breaks: true, async: false,
  renderer: {
    html({ text }) { return escape(text); },
    image({ href, text }) { return `<span class="picture">🖼 ${escape(text || "")} (${escape(href)})</span>`; },
    link({ href, tokens }) {
      const words = this.parser.parseInline(tokens);
      const address = escape(href);
      return `<span class="link">${words}${words === address ? "" : ` <span class="address">(${address})</span>`}</span>`;
    },
    heading({ tokens, depth }) {
      const level = Math.min(6, depth + 3);
      return `<h${level}>${this.parser.parseInline(tokens)}</h${level}>`;
    },
    checkbox({ checked }) { return checked ? "☑ " : "☐ "; },
  },
});

export function markdown(text) {
  if (text.length > LONGEST) return plain(text);
  const holder = document.createElement("div");
  holder.className = "prose";
  holder.dir = "auto";
  try {
    holder.append(DOMPurify.sanitize(marked.parse(text), {
      ALLOWED_TAGS: TAGS, ALLOWED_ATTR: ["class", "start", "align"], ALLOW_DATA_ATTR: false, ALLOW_ARIA_ATTR: false,
      RETURN_DOM_FRAGMENT: true,
    }));
  } catch {
    return plain(text);                   // a text that breaks the reader is shown as it is written
  }
  for (const each of holder.querySelectorAll("[class]")) {
    if (!["link", "address", "picture"].includes(each.className)) each.removeAttribute("class");
  }
  // A wide table or a code block scrolls by itself; a keyboard has to reach it.
  for (const block of holder.querySelectorAll("pre, table")) block.tabIndex = 0;
  return holder;
}

export function plain(text) {
  const holder = document.createElement("div");
  holder.className = "plain";
  holder.dir = "auto";
  holder.textContent = text;
  return holder;
}

// `make("p", {class: "soft"}, "text", child)`: an element; attributes as text, children as nodes or text. Never HTML.
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== undefined && value !== null) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}
