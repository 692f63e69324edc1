// Words for scripts: one catalogue, both languages. `say("saved")`, `say("waiting", {count: 3})`.

const language = document.documentElement.lang === "zh-CN" ? "zh-CN" : "en";
const catalogue = await (await fetch(new URL("messages.json", import.meta.url))).json();

export function say(key, values = {}) {
  const text = catalogue[key]?.[language] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}
