// Live conversations: words as they come, a finished message once as the server drew it.
import { fetchPart, put, say } from "./swap.js";

const CLOSE = 60;

export function start() {
  const place = document.querySelector("[data-chat]");
  if (!place) return;
  const jump = document.getElementById("jump");
  let events = null;
  let waiting = 0;
  let stale = false;

  let following = true;
  const atEnd = () => place.scrollHeight - place.scrollTop - place.clientHeight < CLOSE;
  const toEnd = () => { following = true; place.scrollTop = place.scrollHeight; jump.hidden = true; };
  const grown = () => { if (following) toEnd(); else jump.hidden = atEnd(); };
  const looked = () => requestAnimationFrame(() => { following = atEnd(); jump.hidden = following; });
  const sizes = new ResizeObserver(grown);
  const selecting = () => !document.getSelection().isCollapsed;

  async function redraw() {
    clearTimeout(waiting);
    waiting = 0;
    if (selecting()) { waiting = setTimeout(redraw, 1000); return; }
    try {
      const part = await fetchPart(location.pathname, "thread");
      if (part?.ok) put("thread", part.html);
    } catch { stale = true; }
  }
  const soon = () => { if (!waiting) waiting = setTimeout(redraw, 250); };

  function delta(payload) {
    const live = place.querySelector(`[data-live="${CSS.escape(payload.message_id)}"]`);
    if (!live) { soon(); return; }
    const piece = payload.choices[0].delta;
    // A delta that names its role begins the message: it holds everything said so far.
    if (piece.role) live.replaceChildren();
    live.append(document.createTextNode(piece.content));
    grown();
  }

  function listen() {
    if (events) return;
    events = new EventSource(`/api/chat/stream?extended=0&conversation_id=${place.dataset.chat}`);
    events.addEventListener("message.delta", (event) => delta(JSON.parse(event.data).payload));
    events.addEventListener("message.done", () => { soon(); say("Reply finished"); });
    events.addEventListener("thread.activity", soon);
    events.addEventListener("open", () => { if (stale) { stale = false; soon(); } });
    events.addEventListener("error", () => { stale = true; });
  }
  function hush() { events?.close(); events = null; }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) setTimeout(() => { if (document.hidden) hush(); }, 30000);
    else if (!events) { listen(); soon(); }
  });
  addEventListener("pagehide", hush);
  jump.querySelector("button").addEventListener("click", toEnd);
  for (const kind of ["wheel", "touchmove", "keydown"]) place.addEventListener(kind, looked, { passive: true });
  place.addEventListener("swapped", () => { sizes.disconnect(); sizes.observe(place.querySelector("ol")); grown(); });
  sizes.observe(place.querySelector("ol"));

  const composer = document.querySelector("[data-composer]");
  const text = composer?.querySelector("textarea");
  const draft = `draft:${place.dataset.chat}`;
  if (text) {
    text.value ||= sessionStorage.getItem(draft) ?? "";
    text.addEventListener("input", () => sessionStorage.setItem(draft, text.value));
    text.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) composer.requestSubmit();
    });
    place.addEventListener("swapped", () => {
      if (composer.dataset.sent) { text.value = ""; sessionStorage.removeItem(draft); delete composer.dataset.sent; toEnd(); }
    });
    composer.addEventListener("submit", () => { composer.dataset.sent = "1"; });
  }
  toEnd();
  listen();
}
