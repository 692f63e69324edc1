// One key, one action. Keys that belong to somebody else never reach it: those typed into a field, those an input
// method is composing with (isComposing, 229), those held down (repeat), those with Ctrl, Alt or Meta, and those
// pressed while a dialog is open.

export class Keys {
  // `defaults`: action -> key; `own`: what the person has changed, action -> key.
  constructor(defaults, own = {}) {
    this.defaults = defaults;
    this.handlers = {};
    this.learn(own);
    document.addEventListener("keydown", (event) => this.#pressed(event));
  }

  learn(own) {
    this.own = Object.fromEntries(Object.entries(own).filter(([action]) => action in this.defaults));
    this.keys = { ...this.defaults, ...this.own };
    this.actions = new Map(Object.entries(this.keys).map(([action, key]) => [key, action]));
  }

  on(action, handler) {
    this.handlers[action] = handler;
  }

  // Two actions that would share a key, or nothing.
  static clash(keys) {
    const taken = new Map();
    for (const [action, key] of Object.entries(keys)) {
      if (taken.has(key)) return [taken.get(key), action];
      taken.set(key, action);
    }
    return null;
  }

  #pressed(event) {
    if (isForOthers(event)) return;
    const action = this.actions.get(keyOf(event));
    const handler = action && this.handlers[action];
    if (!handler) return;
    event.preventDefault();
    handler(event);
  }
}

// The key as people name it: letters small, the wide forms of Chinese keyboards as their plain ones.
export function keyOf(event) {
  const key = event.key.length === 1 ? event.key.normalize("NFKC") : event.key;
  return key.length === 1 ? key.toLowerCase() : key;
}

export function isForOthers(event) {
  if (event.isComposing || event.keyCode === 229 || event.repeat) return true;
  if (event.ctrlKey || event.altKey || event.metaKey) return true;
  if (document.querySelector("dialog[open]")) return true;
  const field = event.target.closest?.("input, textarea, select, [contenteditable]");
  return Boolean(field && !["radio", "checkbox", "button", "submit"].includes(field.type));
}

export function keyName(key) {
  return { " ": "␣", Enter: "↵", Backspace: "⌫", ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓" }[key]
    ?? key.toUpperCase();
}
