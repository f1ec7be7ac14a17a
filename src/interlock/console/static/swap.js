// Parts of pages: fetched alone, put in place, kept in the history. The only place where
// text becomes elements, and only text this server sent as a part of a page.
const policy = window.trustedTypes
  ? window.trustedTypes.createPolicy("interlock", { createHTML: (text) => text })
  : { createHTML: (text) => text };

const csrf = () => document.querySelector('meta[name="csrf"]')?.content ?? "";

export function say(text) {
  const place = document.getElementById("said");
  if (place) place.textContent = text;
}

export async function fetchPart(url, name, options = {}) {
  const target = new URL(url, location.href);
  if (target.origin !== location.origin) throw new Error("not ours");
  const answer = await fetch(target, {
    ...options,
    credentials: "same-origin",
    headers: { "Accept-Fragment": name, "X-CSRF-Token": csrf(), ...options.headers },
  });
  if (answer.status === 401) { signIn(); return null; }
  if (answer.redirected && (options.method ?? "GET") !== "GET") { location.assign(answer.url); return null; }
  const type = answer.headers.get("content-type") ?? "";
  if (!type.startsWith("text/html")) throw new Error("not a page");
  return { html: await answer.text(), ok: answer.ok };
}

export function put(name, html) {
  const place = document.getElementById(name);
  if (!place) return null;
  const made = document.createElement("template");
  made.innerHTML = policy.createHTML(html);
  place.replaceChildren(made.content);
  place.hidden = false;
  place.dispatchEvent(new CustomEvent("swapped", { bubbles: true }));
  return place;
}

function signIn() {
  const box = document.createElement("dialog");
  box.setAttribute("aria-label", "Your session has ended");
  const body = Object.assign(document.createElement("div"), { className: "body" });
  const text = Object.assign(document.createElement("p"), {
    textContent: "Your session has ended. What you typed stays here: sign in in another tab, then go on.",
  });
  const link = Object.assign(document.createElement("a"), {
    href: "/console/login", target: "_blank", className: "button primary", textContent: "Sign in",
  });
  const close = Object.assign(document.createElement("button"), { textContent: "Go on" });
  close.addEventListener("click", () => box.close());
  body.append(text, link, close);
  box.append(body);
  document.body.append(box);
  box.addEventListener("close", () => box.remove());
  box.showModal();
}

async function follow(link, name) {
  const there = link.href.baseVal ?? link.href;
  try {
    const part = await fetchPart(there, name);
    if (!part) return;
    if (!part.ok) { location.assign(there); return; }
    const place = put(name, part.html);
    if (name === "pane") {
      document.getElementById("split")?.classList.add("open");
      for (const row of document.querySelectorAll("tr[aria-current]")) row.removeAttribute("aria-current");
      link.closest("tr")?.setAttribute("aria-current", "true");
      history.pushState({ part: name }, "", there);
      place.scrollTop = 0;
      if (matchMedia("(max-width: 1079px)").matches) { place.tabIndex = -1; place.focus(); }
    }
    say(name === "pane" ? "Opened beside the list" : "Shown");
  } catch {
    location.assign(there);
  }
}

async function send(form, submitter, name) {
  const body = new FormData(form, submitter);
  submitter?.setAttribute("aria-busy", "true");
  try {
    const url = submitter?.getAttribute("formaction") ?? form.action;
    const part = await fetchPart(url, name, { method: "POST", body: new URLSearchParams(body) });
    if (part) put(name, part.html);
  } catch {
    say("The server did not answer. What you typed is still here.");
  } finally {
    submitter?.removeAttribute("aria-busy");
  }
}

export function closePane() {
  const split = document.getElementById("split");
  const pane = document.getElementById("pane");
  if (!split?.classList.contains("open")) return false;
  split.classList.remove("open");
  pane.hidden = true;
  const url = new URL(location.href);
  url.searchParams.delete("peek");
  url.searchParams.delete("node");
  history.pushState({}, "", url);
  document.querySelector('tr[aria-current] a[data-row]')?.focus();
  return true;
}

export function start() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[data-swap]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    if (!document.getElementById(link.dataset.swap)) return;
    event.preventDefault();
    follow(link, link.dataset.swap);
  });
  document.addEventListener("submit", (event) => {
    const name = event.submitter?.dataset.swap ?? event.target.dataset.swap;
    if (!name || event.submitter?.value === "test" || !document.getElementById(name)) return;
    event.preventDefault();
    send(event.target, event.submitter, name);
  });
  window.addEventListener("popstate", () => location.reload());
}
