// The dialogs of the annotating page: the guideline, the keys (and changing them), a flag for a reviewer, a pause.

import { csrf } from "../web/shell.js";
import { Keys, keyName, keyOf } from "./keys.js";
import { make, markdown } from "./shown.js";
import { say } from "./words.js";

const RESERVED = new Set(["Tab", "Escape", "Shift", "Control", "Alt", "Meta", "CapsLock", "Process", "Dead", "Unidentified"]);

export class Dialogs {
  constructor({ root, config, keys, relabel, flag, paused }) {
    Object.assign(this, { root, config, keys, relabel, flag, paused });
    this.find("guideline-text").append(markdown(config.guideline));
    for (const dialog of root.querySelectorAll("dialog")) {
      dialog.addEventListener("click", (event) => { if (event.target.closest("[data-close]")) dialog.close(); });
    }
    this.dialog("pause").addEventListener("close", () => paused(false));
    this.dialog("flag").querySelector("form").addEventListener("submit", (event) => this.#flagged(event));
    this.dialog("flag").addEventListener("keydown", (event) => this.#flagKey(event));
    this.find("own-keys").addEventListener("click", (event) => this.#asks(event));
    this.find("default-keys").addEventListener("click", () => this.#keep({}));
    this.dialog("keys").addEventListener("keydown", (event) => this.#typed(event), true);
  }

  find(name) { return this.root.querySelector(`[data-at="${name}"]`); }
  dialog(name) { return this.root.querySelector(`dialog[data-dialog="${name}"]`); }

  open(name) {
    if (name === "keys") this.#listKeys();
    if (name === "flag") this.dialog("flag").querySelector("form").reset();
    if (name === "pause") this.paused(true);
    this.dialog(name).showModal();
  }

  #flagged(event) {
    event.preventDefault();
    const form = new FormData(event.target), reason = form.get("reason"), note = String(form.get("note") ?? "").trim();
    if (!reason || (reason === "other" && !note)) {
      this.find("flag-wrong").hidden = false;
      return;
    }
    this.find("flag-wrong").hidden = true;
    this.dialog("flag").close();
    this.flag(reason, note);
  }

  // A digit picks a reason; a second Enter sends it.
  #flagKey(event) {
    if (event.isComposing || event.target.matches("textarea") || event.repeat) return;
    const radio = this.dialog("flag").querySelector(`input[data-key="${keyOf(event)}"]`);
    if (radio) { radio.checked = true; radio.focus(); event.preventDefault(); }
  }

  #listKeys() {
    const names = { ...this.config.page_actions, ...Object.fromEntries(this.config.actions.map(({ name, words }) => [name, words])) };
    this.find("own-keys").replaceChildren(...Object.entries(this.keys.keys).map(([action, key]) => make("li", {},
      make("span", {}, names[action] ?? action),
      make("button", { type: "button", class: "quiet", "data-change": action, "aria-label": say("change_key_of", { action: names[action] ?? action, key: keyName(key) }) },
        make("kbd", {}, keyName(key))))));
    this.asking = null;
    this.#note("");
  }

  #asks(event) {
    const button = event.target.closest("[data-change]");
    if (!button) return;
    this.asking = button.dataset.change;
    button.querySelector("kbd").textContent = "…";
    this.#note(say("press_a_key"));
  }

  #typed(event) {
    if (!this.asking || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.key === "Escape") return this.#listKeys();
    if (RESERVED.has(event.key) || event.ctrlKey || event.metaKey || event.altKey) return;
    const changed = { ...this.keys.own, [this.asking]: keyOf(event) };
    const clash = Keys.clash({ ...this.keys.defaults, ...changed });
    if (clash) {
      this.#listKeys();
      return this.#note(say("key_taken"));
    }
    this.#keep(changed);
  }

  async #keep(own) {
    this.keys.learn(own);
    this.#listKeys();
    this.relabel();
    const response = await fetch("/api/keys", {
      method: "POST", body: JSON.stringify({ kind: this.config.campaign.kind, keys: own }),
      headers: { "Content-Type": "application/json", "X-CSRF-Token": csrf },
    }).catch(() => null);
    this.#note(say(response?.ok ? "keys_kept" : "keys_not_kept"));
  }

  #note(text) { this.find("keys-note").textContent = text; }
}
