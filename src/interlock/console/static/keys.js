// Keys of the pages. Off inside fields, and off altogether where the person said so.
import { closePane, say } from "./swap.js";

const inField = (target) => target.closest?.("input, textarea, select, [contenteditable]");
let waitingForPage = 0;

function help() {
  const box = document.createElement("dialog");
  box.setAttribute("aria-label", "Keys of this page");
  const body = Object.assign(document.createElement("div"), { className: "body" });
  const title = Object.assign(document.createElement("h2"), { textContent: "Keys" });
  const table = Object.assign(document.createElement("div"), { className: "keys-table" });
  const rows = [["j k", "Next, previous"], ["Enter", "Open beside"], ["o", "Open"], ["Esc", "Close"],
    ["f", "Add filter"], ["w", "What-if"], ["e", "Make a rule"], ["c", "Copy as"], ["y", "Copy link"],
    ["/", "Search"], ["Ctrl K", "Commands"], ["Ctrl Enter", "Save, run"], ["[", "Fold the rail"]];
  for (const link of document.querySelectorAll(".rail [data-go]")) rows.push([`g ${link.dataset.go}`, link.textContent.trim()]);
  for (const [key, what] of rows) {
    const row = document.createElement("div");
    row.append(what, Object.assign(document.createElement("kbd"), { textContent: key }));
    table.append(row);
  }
  const close = Object.assign(document.createElement("button"), { textContent: "Close keys" });
  close.addEventListener("click", () => box.close());
  body.append(title, table, close);
  box.append(body);
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
}

const actions = {
  "?": help,
  y: () => navigator.clipboard?.writeText(location.href).then(() => say("Link copied")),
  "[": () => {
    const root = document.documentElement;
    root.dataset.rail = root.dataset.rail === "narrow" ? "wide" : "narrow";
  },
};

export function start() {
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      const form = event.target.closest?.("form");
      const main = form?.querySelector("[data-main]") ?? form?.querySelector(".primary");
      if (form && main) { event.preventDefault(); form.requestSubmit(main); }
      return;
    }
    if (event.key === "s" && (event.ctrlKey || event.metaKey) && document.querySelector("[data-editor]")) {
      const main = document.querySelector("[data-main]");
      if (main) { event.preventDefault(); main.form.requestSubmit(main); }
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.key === "Escape" && !inField(event.target) && closePane()) return;
    if (inField(event.target) || document.documentElement.dataset.keys === "off") return;
    if (Date.now() < waitingForPage) {
      waitingForPage = 0;
      const link = document.querySelector(`[data-go="${CSS.escape(event.key)}"]`);
      if (link) { event.preventDefault(); link.click(); }
      return;
    }
    if (event.key === "g") { waitingForPage = Date.now() + 1200; return; }
    const action = actions[event.key];
    const named = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
    if (action) { event.preventDefault(); action(); }
    else if (named) {
      event.preventDefault();
      named.click();
      named.closest("details")?.querySelector("form input, form select")?.focus();
    }
  });
}
