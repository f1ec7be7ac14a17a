// Completion in the policy editor: words of the language, names in the text, tools with their
// arguments and labels of recorded calls. The textarea stays a textarea; the list is a listbox.
const WORD = /[\w@.]*$/;
const MOST = 8;

const names = (text) => [...text.matchAll(/\blet\s+([A-Za-z_]\w*)/g)].map((one) => one[1]);
const toolAt = (text, at) => {
  const found = [...text.slice(0, at).matchAll(/\btool\s+"((?:[^"\\]|\\.)*)"/g)].pop();
  return found ? found[1] : "";
};

// What fits before the caret: [text to put in, what it is].
function offers(words, table, text, at) {
  const line = text.slice(text.lastIndexOf("\n", at - 1) + 1, at);
  const quoted = /\b(tool)\s+"([^"]*)$/.exec(line) ?? /\{[^}]*?(")([^"]*)$/.exec(line);
  if (quoted) {
    const from = quoted[1] === "tool" ? Object.keys(words.tools).map((one) => [one, "tool called lately"]) : words.labels.map((one) => [one, "label in use"]);
    return { typed: quoted[2], close: text[at] === '"' ? "" : '"', all: from.map(([one, kind]) => [JSON.stringify(one).slice(1, -1), kind]) };
  }
  const typed = WORD.exec(line)[0];
  const dot = typed.lastIndexOf(".");
  if (dot >= 0) return { typed: typed.slice(dot + 1), close: "", all: ["value", "tags", "producers", "consumers"].map((one) => [one, words.help[one] ?? ""]) };
  const own = (words.tools[toolAt(text, at)] ?? []).map((one) => [one, "argument"]);
  const lets = names(text).map((one) => [one, "let of this text"]);
  const language = Object.values(table.words).flat().map((one) => [one, words.help[one] ?? ""]);
  return { typed, close: "", all: [...own, ...lets, ...language] };
}

// Where the caret stands, in pixels from the corner of the text.
function place(area, paint, at) {
  const before = area.value.slice(0, at).split("\n");
  const style = getComputedStyle(area);
  const canvas = place.canvas ??= document.createElement("canvas").getContext("2d");
  canvas.font = `${style.fontSize} ${style.fontFamily}`;
  const left = canvas.measureText(before.at(-1)).width + parseFloat(style.paddingLeft) - area.scrollLeft;
  const top = before.length * parseFloat(style.lineHeight) + parseFloat(style.paddingTop) - area.scrollTop;
  return { left: Math.max(0, Math.min(left, area.clientWidth - 240)), top };
}

export function complete(root, area, paint, table) {
  const words = JSON.parse(root.dataset.words);
  const list = Object.assign(document.createElement("ul"), { className: "offers", id: "offers", hidden: true });
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", area.dataset.offers);
  area.after(list);
  area.setAttribute("aria-autocomplete", "list");
  area.setAttribute("aria-controls", "offers");
  const help = document.getElementById("e-help");
  const hint = help?.textContent ?? "";
  let shown = null;
  let chosen = 0;

  const close = () => { shown = null; list.hidden = true; area.removeAttribute("aria-activedescendant"); };
  const mark = (at) => {
    chosen = at;
    [...list.children].forEach((one, i) => one.setAttribute("aria-selected", String(i === at)));
    area.setAttribute("aria-activedescendant", `offer-${at}`);
    list.children[at]?.scrollIntoView({ block: "nearest" });
  };
  const take = (at) => {
    const [text] = shown.all[at];
    area.focus();
    area.setSelectionRange(area.selectionStart - shown.typed.length, area.selectionStart);
    document.execCommand("insertText", false, text + shown.close);
    close();
  };
  const open = (asked) => {
    if (area.readOnly || area.selectionStart !== area.selectionEnd) { close(); return; }
    const found = offers(words, table, area.value, area.selectionStart);
    const low = found.typed.toLowerCase();
    const fits = found.all.filter(([one], i, all) => one.toLowerCase().startsWith(low) && one !== found.typed && all.findIndex(([other]) => other === one) === i);
    if (!fits.length || (!asked && !found.typed && !found.close)) { close(); return; }
    shown = { ...found, all: fits.slice(0, MOST) };
    list.replaceChildren(...shown.all.map(([text, kind], i) => {
      const row = Object.assign(document.createElement("li"), { id: `offer-${i}` });
      row.setAttribute("role", "option");
      row.append(Object.assign(document.createElement("b"), { textContent: text }), Object.assign(document.createElement("span"), { className: "meta", textContent: kind }));
      row.addEventListener("mousedown", (event) => { event.preventDefault(); take(i); });
      return row;
    }));
    list.hidden = false;
    const spot = place(area, paint, area.selectionStart);
    list.style.left = `${spot.left}px`;
    list.style.top = `${spot.top}px`;
    mark(0);
  };

  area.addEventListener("keydown", (event) => {
    if (event.key === " " && event.ctrlKey) { event.preventDefault(); open(true); return; }
    if (!shown) return;
    const last = shown.all.length - 1;
    const moves = { ArrowDown: () => mark(chosen === last ? 0 : chosen + 1), ArrowUp: () => mark(chosen ? chosen - 1 : last), Enter: () => take(chosen), Tab: () => take(chosen), Escape: close };
    if (event.ctrlKey || event.metaKey || !moves[event.key]) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    moves[event.key]();
  });
  area.addEventListener("input", (event) => { if (event.inputType?.startsWith("insert") && event.data && event.data !== "\n") open(false); else close(); });
  area.addEventListener("blur", close);
  area.addEventListener("scroll", close);
  document.addEventListener("selectionchange", () => {
    if (document.activeElement !== area || !help) return;
    const around = /^\w*/.exec(area.value.slice(area.selectionStart))[0];
    const word = /\w*$/.exec(area.value.slice(0, area.selectionStart))[0] + around;
    help.textContent = Object.hasOwn(words.help, word) ? `${word}: ${words.help[word]}` : hint;
  });
}
