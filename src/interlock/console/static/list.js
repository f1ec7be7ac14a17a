// Lists: j and k move, Enter opens beside; and what needs reading to the end before a decision.
const rows = () => [...document.querySelectorAll("[data-list] a[data-row]")].filter((row) => row.offsetParent);

function move(step) {
  const all = rows();
  if (!all.length) return;
  const open = document.querySelector("tr[aria-current] a[data-row]");
  const at = all.indexOf(document.activeElement) >= 0 ? all.indexOf(document.activeElement) : all.indexOf(open);
  const next = all[Math.min(all.length - 1, Math.max(0, at + step))];
  next.focus();
  next.scrollIntoView({ block: "nearest" });
  if (document.getElementById("split")?.classList.contains("open")) next.click();
}

function guardReading(root) {
  for (const button of root.querySelectorAll("[data-after-reading]")) {
    const values = [...document.querySelectorAll("[data-read]")];
    const unread = new Set(values.filter((one) => one.scrollHeight > one.clientHeight + 2));
    if (!unread.size) continue;
    const word = button.textContent;
    button.disabled = true;
    button.textContent = "Read every argument to its end first";
    for (const one of unread) {
      one.addEventListener("scroll", () => {
        if (one.scrollTop + one.clientHeight >= one.scrollHeight - 2) unread.delete(one);
        if (!unread.size) { button.disabled = false; button.textContent = word; }
      });
    }
  }
}

function offerCopy(root) {
  if (!navigator.clipboard) return;
  for (const block of root.querySelectorAll("[data-copy]:not([data-ready])")) {
    block.dataset.ready = "";
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: "Copy" });
    button.setAttribute("aria-label", `Copy ${block.getAttribute("aria-label") ?? ""}`);
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(block.textContent);
      button.textContent = "Copied";
    });
    block.after(button);
  }
}

export function start() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.documentElement.dataset.keys === "off") return;
    if (event.target.closest?.("input, textarea, select") || document.querySelector("dialog[open]")) return;
    if (event.key === "j") { event.preventDefault(); move(1); }
    if (event.key === "k") { event.preventDefault(); move(-1); }
  });
  guardReading(document);
  offerCopy(document);
  document.addEventListener("swapped", (event) => { guardReading(event.target); offerCopy(event.target); });
}
