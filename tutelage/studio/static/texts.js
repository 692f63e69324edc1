// Texts that a page holds as plain text, shown with their Markdown. Without this script they can be read all the same.

import { markdown } from "./shown.js";

for (const holder of document.querySelectorAll("[data-markdown]")) {
  holder.classList.remove("plain");
  holder.replaceChildren(markdown(holder.textContent));
}
