// The stream of events, as this page hears it. A page that is put aside lets go of its connection (a browser has few for
// one server) and, looked at again, asks for what it missed.

const KINDS = ["hello", "lines", "rewritten", "samples", "standing"];
const RETRY_MS = 15000;

// `of`: names of runs, or ["all"]. `hear(kind, data)` is called for every event; "hello" says whether nothing was missed.
export function listen(of, hear) {
  const sign = document.querySelector("[data-stream]");
  let source = null, last = "", retry = 0;

  function open() {
    if (source || document.hidden) return;
    clearTimeout(retry);
    source = new EventSource(`/api/events?${new URLSearchParams({ of: of.join(","), after: last })}`);
    for (const kind of KINDS) {
      source.addEventListener(kind, (event) => {
        last = event.lastEventId;
        if (kind === "hello") show("live");
        hear(kind, JSON.parse(event.data));
      });
    }
    source.addEventListener("error", () => {
      show("lost");
      if (source?.readyState !== EventSource.CLOSED) return;      // the browser tries again by itself
      close();
      retry = setTimeout(open, RETRY_MS);
    });
  }

  function close() {
    clearTimeout(retry);
    source?.close();
    source = null;
  }

  const show = (state) => { if (sign) sign.dataset.state = state; };
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
  addEventListener("pageshow", open);
  open();
}
