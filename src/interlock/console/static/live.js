// What changes by itself while a page is looked at: parts that say where they come from are
// fetched again every five seconds, only while the page is visible.
import { fetchPart, put } from "./swap.js";

const EVERY_MS = 5000;

export function start() {
  const parts = () => [...document.querySelectorAll("[data-poll]")];
  if (!parts().length) return;
  let lost = 0;
  const look = async () => {
    if (document.hidden) return;
    for (const part of parts()) {
      if (part.contains(document.activeElement)) continue;
      const found = await fetchPart(part.dataset.poll, part.dataset.fragment).catch(() => null);
      if (found?.ok) {
        lost = 0;
        document.getElementById("stale")?.remove();
        put(part.id, found.html);
      } else if (++lost === 1) {
        const note = Object.assign(document.createElement("span"), { id: "stale", className: "mark ask" });
        note.textContent = `Not live since ${new Date().toLocaleTimeString()}, reconnecting`;
        document.querySelector(".title")?.append(note);
      }
    }
  };
  setInterval(look, EVERY_MS);
  document.addEventListener("visibilitychange", look);
}
