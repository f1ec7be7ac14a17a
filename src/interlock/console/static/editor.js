// The policy editor: a textarea with colours behind it. The table of tokens comes from the
// server's lexer; problems come from its parser, 150 ms after typing stops.
import { complete } from "./complete.js";
import { fetchPart, put } from "./swap.js";

const PAIRS = { "(": ")", "[": "]", "{": "}" };

function colours(table, text, marks, bracket) {
  const made = document.createDocumentFragment();
  const words = new Map(Object.entries(table.words).flatMap(([name, list]) => list.map((word) => [word, name])));
  const pattern = new RegExp(table.pattern, "gy");
  let at = 0;
  const add = (piece, name) => {
    const start = at;
    at += piece.length;
    const mark = marks.find((one) => one.at >= start && one.at < at);
    const paired = bracket.includes(start);
    if (!name && !mark && !paired) { made.append(piece); return; }
    const span = document.createElement("span");
    span.className = [name && `t-${name}`, mark && (mark.error ? "squiggle" : "squiggle warn"), paired && "bracket"].filter(Boolean).join(" ");
    span.textContent = piece;
    made.append(span);
  };
  while (at < text.length) {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (!match || !match[0]) { add(text[at], ""); continue; }
    const name = Object.keys(match.groups).find((group) => match.groups[group] !== undefined);
    add(match[0], name === "ident" ? words.get(match[0]) ?? "" : table.classes[name] ?? "");
  }
  made.append("\n");
  return made;
}

function partner(text, place) {
  for (const spot of [place - 1, place]) {
    const close = PAIRS[text[spot]];
    if (close) {
      let depth = 0;
      for (let i = spot; i < text.length; i++) {
        if (text[i] === text[spot]) depth++;
        if (text[i] === close && --depth === 0) return [spot, i];
      }
    }
    const open = Object.keys(PAIRS).find((one) => PAIRS[one] === text[spot]);
    if (open) {
      let depth = 0;
      for (let i = spot; i >= 0; i--) {
        if (text[i] === text[spot]) depth++;
        if (text[i] === open && --depth === 0) return [i, spot];
      }
    }
  }
  return [];
}

function offsetOf(text, line, column) {
  const lines = text.split("\n");
  return lines.slice(0, line - 1).reduce((sum, one) => sum + one.length + 1, 0) + Math.max(0, column - 1);
}

function equip(root) {
  const area = root.querySelector("textarea");
  const paint = root.querySelector(".paint");
  const gutter = root.querySelector(".gutter");
  const table = JSON.parse(root.dataset.table);
  const fired = new Set([...gutter.querySelectorAll("b")].map((one) => Number(one.textContent.replace(/\D/g, ""))));
  complete(root, area, paint, table);
  let marks = [];
  let free = false;
  let timer = 0;
  const read = () => {
    marks = [...document.querySelectorAll("#check .finding[data-line]")].map((one) => ({
      at: offsetOf(area.value, Number(one.dataset.line), Number(one.dataset.column)),
      line: Number(one.dataset.line),
      error: one.dataset.severity === "error",
    }));
    area.setAttribute("aria-invalid", String(marks.some((one) => one.error)));
  };
  const draw = () => {
    const focused = document.activeElement === area;
    paint.replaceChildren(colours(table, area.value, marks, focused ? partner(area.value, area.selectionStart) : []));
    const lines = area.value.split("\n").length;
    gutter.textContent = Array.from({ length: lines }, (_, i) => {
      const sign = marks.some((one) => one.line === i + 1) ? "!" : fired.has(i + 1) ? "●" : " ";
      return `${sign} ${i + 1}`;
    }).join("\n");
    paint.scrollTop = gutter.scrollTop = area.scrollTop;
    paint.scrollLeft = area.scrollLeft;
  };
  const check = async () => {
    const body = new URLSearchParams(new FormData(area.form));
    const part = await fetchPart(root.dataset.check, "check", { method: "POST", body }).catch(() => null);
    if (part?.ok && document.getElementById("check")) put("check", part.html);
    read();
    draw();
  };
  area.addEventListener("input", () => { draw(); clearTimeout(timer); timer = setTimeout(check, 150); });
  area.addEventListener("scroll", draw);
  document.addEventListener("selectionchange", () => { if (document.activeElement === area) draw(); });
  area.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { free = true; return; }
    if (event.key === "F8" && marks.length) {
      event.preventDefault();
      const next = marks.find((one) => one.at > area.selectionStart) ?? marks[0];
      area.setSelectionRange(next.at, next.at + 1);
    }
    if (event.key === "Tab" && !free && !event.shiftKey && !area.readOnly) {
      event.preventDefault();
      document.execCommand("insertText", false, "    ");
    }
    if (event.key === "Enter" && !event.ctrlKey && !event.metaKey && !area.readOnly) {
      const before = area.value.slice(0, area.selectionStart);
      const indent = /^[ \t]*/.exec(before.slice(before.lastIndexOf("\n") + 1))[0];
      event.preventDefault();
      document.execCommand("insertText", false, `\n${indent}${before.endsWith("{") ? "    " : ""}`);
    }
    if (event.key !== "Tab" && event.key !== "Shift") free = false;
  });
  let saved = area.value;
  area.form.addEventListener("submit", (event) => { if (!event.submitter?.dataset.swap) saved = area.value; });
  window.addEventListener("beforeunload", (event) => { if (area.value !== saved) event.preventDefault(); });
  document.addEventListener("click", (event) => {
    const line = Number(event.target.closest?.("a[data-line]")?.dataset.line);
    if (!line) return;
    event.preventDefault();
    const at = offsetOf(area.value, line, 1);
    area.focus();
    area.setSelectionRange(at, at);
    area.scrollTop = (line - 3) * parseFloat(getComputedStyle(area).lineHeight);
  });
  document.addEventListener("swapped", (event) => { if (event.target.id === "check") { read(); draw(); } });
  root.classList.add("painted");
  read();
  draw();
}

export function start() {
  for (const root of document.querySelectorAll("[data-editor]")) equip(root);
}
