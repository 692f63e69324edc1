// What the model answered, shown safely as on the annotating page; fetched again when there is more.

import { markdown } from "../studio/shown.js";
import { page } from "./parts.js";
import { listen } from "./stream.js";

const holder = () => document.getElementById("samples");

function show(within) {
  for (const each of within.querySelectorAll("[data-markdown]")) {
    each.classList.remove("plain");
    each.replaceChildren(markdown(each.textContent));
  }
}

show(holder());
listen([holder().dataset.run], async (kind) => {
  if (kind !== "samples") return;
  const fresh = (await page(location.href).catch(() => null))?.getElementById("samples");
  if (!fresh) return;
  const whole = document.importNode(fresh, true);
  for (const open of holder().querySelectorAll("details[open]")) {
    whole.querySelector(`details[data-key="${open.dataset.key}"]`)?.setAttribute("open", "");
  }
  show(whole);
  holder().replaceWith(whole);
});
