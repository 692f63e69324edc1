// Parts of a page that the server renders and that change: fetched again, and changed only where they differ, so that
// what is focused, chosen or folded open stays so.

const LEAST_MS = 2000;      // between two fetches

// `after` is called with each part when it is fresh.
export function refresher(after = () => {}) {
  let due = 0, last = 0, running = false, again = false;

  async function refresh() {
    due = 0;
    if (running) { again = true; return; }
    running = true;
    last = performance.now();
    for (const holder of document.querySelectorAll("[data-live]")) await renew(holder).then(() => after(holder), () => {});
    running = false;
    if (again) { again = false; soon(); }
  }

  function soon() {
    if (!due) due = setTimeout(refresh, Math.max(0, last + LEAST_MS - performance.now()));
  }
  return soon;
}

async function renew(holder) {
  const fresh = await page(holder.dataset.live);
  if (fresh) children(holder, fresh.body);
}

// A page or a part of one, as a document; null where it cannot be had now.
export async function page(address) {
  const answer = await fetch(address, { headers: { accept: "text/html" } });
  return answer.ok && !answer.redirected ? new DOMParser().parseFromString(await answer.text(), "text/html") : null;
}

function morph(old, fresh) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  for (const { name } of [...old.attributes]) if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
  children(old, fresh);
}

function children(old, fresh) {
  let place = old.firstChild;
  for (const each of [...fresh.childNodes]) {
    const key = each.dataset?.key;
    const match = key ? [...old.children].find((child) => child.dataset.key === key)
      : place && !place.dataset?.key && place.nodeName === each.nodeName ? place : null;
    if (!match) {
      old.insertBefore(document.importNode(each, true), place);
      continue;
    }
    if (match !== place) old.insertBefore(match, place);
    morph(match, each);
    place = match.nextSibling;
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}
