// One field for pages, policies, keys and ids: Ctrl K, or / for the field of the top bar.
let box = null;

function build() {
  box = document.createElement("dialog");
  box.className = "palette";
  box.setAttribute("aria-label", "Find a page or any id");
  const input = document.createElement("input");
  input.setAttribute("role", "combobox");
  input.setAttribute("aria-expanded", "true");
  input.setAttribute("aria-controls", "palette-list");
  input.setAttribute("aria-label", "Find a page or any id");
  input.placeholder = "Find a page or paste any id";
  input.maxLength = 200;
  const list = document.createElement("ul");
  list.id = "palette-list";
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "Found");
  box.append(input, list);
  document.body.append(box);
  let timer = 0;
  input.addEventListener("input", () => {
    clearTimeout(timer);
    // What Enter takes must fit what was typed, also before the server has answered.
    const text = input.value.trim();
    const here = pages().filter((one) => one.name.toLowerCase().includes(text.toLowerCase()));
    show(input, list, text ? [...here, ask(text)] : pages());
    timer = setTimeout(() => search(input, list), 150);
  });
  input.addEventListener("keydown", (event) => {
    const options = [...list.querySelectorAll('[role="option"]')];
    const at = options.findIndex((one) => one.getAttribute("aria-selected") === "true");
    if (event.key === "ArrowDown") { event.preventDefault(); choose(input, options, Math.min(options.length - 1, at + 1)); }
    if (event.key === "ArrowUp") { event.preventDefault(); choose(input, options, Math.max(0, at - 1)); }
    if (event.key === "Enter") {
      event.preventDefault();
      location.assign(options[at]?.dataset.path ?? `/console/go?q=${encodeURIComponent(input.value)}`);
    }
  });
  return input;
}

function choose(input, options, at) {
  options.forEach((one, place) => one.setAttribute("aria-selected", String(place === at)));
  if (options[at]) { input.setAttribute("aria-activedescendant", options[at].id); options[at].scrollIntoView({ block: "nearest" }); }
}

function show(input, list, found) {
  list.replaceChildren();
  found.forEach((one, place) => {
    const row = document.createElement("li");
    row.id = `palette-${place}`;
    row.setAttribute("role", "option");
    row.dataset.path = one.path;
    row.append(one.name, Object.assign(document.createElement("span"), { className: "meta", textContent: one.group }));
    row.addEventListener("click", () => location.assign(one.path));
    list.append(row);
  });
  choose(input, [...list.children], 0);
}

function pages() {
  return [...document.querySelectorAll(".rail a")].map((link) => ({ group: "Go to", name: link.querySelector(".name").textContent, path: link.getAttribute("href") }));
}

const ask = (text) => ({ group: "Ask id", name: text, path: `/console/go?q=${encodeURIComponent(text)}` });

async function search(input, list) {
  const text = input.value.trim();
  if (!text) { show(input, list, pages()); return; }
  const answer = await fetch(`/console/palette?q=${encodeURIComponent(text)}`, { credentials: "same-origin" }).catch(() => null);
  if (!answer?.ok || input.value.trim() !== text) return;
  const found = await answer.json();
  show(input, list, [...found, ask(text)]);
}

function open() {
  const input = box?.querySelector("input") ?? build();
  input.value = "";
  show(input, box.querySelector("ul"), pages());
  box.showModal();
  input.focus();
}

export function start() {
  if (!document.querySelector(".rail")) return;
  document.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); open(); }
    else if (event.key === "/" && !event.target.closest?.("input, textarea, select") && document.documentElement.dataset.keys !== "off") {
      event.preventDefault();
      document.querySelector("[data-palette]")?.focus();
    }
  });
}
