// Keys, dialogs, the palette, copying and the panel beside a timeline. Pages work without it.
const root = document.documentElement;
const base = root.dataset.base || "";
const $ = (selector, from = document) => from.querySelector(selector);
const $$ = (selector, from = document) => [...from.querySelectorAll(selector)];
root.classList.add("js");

/** fragment asks for a page's main part. @param {string} url @param {string} kind @param {RequestInit} [options] */
async function fragment(url, kind, options = {}) {
  const answer = await fetch(url, { ...options, headers: { ...options.headers, "Throughline-Fragment": kind } });
  if (answer.redirected && kind === "dialog") return { answer, html: "" };
  return { answer, html: await answer.text() };
}

/** put shows HTML that the server made. It is parsed without running anything, and the policy forbids what would run. */
function put(where, html) {
  where.replaceChildren(...new DOMParser().parseFromString(html, "text/html").body.childNodes);
  enhance(where);
}

let toastTimer = 0;
function say(text) {
  $("#toast").textContent = text;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { $("#toast").textContent = ""; }, 3000);
}

/** enhance shows the buttons that need this module, below a node that is new. */
function enhance(from) {
  for (const b of $$("[data-fold][hidden], [data-copy-from][hidden]", from)) b.hidden = false;
}
enhance(document);

// The zone of this browser, for the switch.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
for (const b of $$("[data-zone]")) if (b.value === "UTC") { b.value = zone; b.title = zone; }

// Copying: a button's value, the bytes of a payload, and whole times where a time is selected.
async function copy(text) {
  try { await navigator.clipboard.writeText(text); say("Copied"); } catch { say("This browser does not let a page copy here: select the text"); }
}
document.addEventListener("copy", (e) => {
  const chosen = getSelection();
  if (!chosen.rangeCount || chosen.isCollapsed || typing(document.activeElement)) return;
  const range = chosen.getRangeAt(0);
  const around = range.commonAncestorContainer.parentElement?.closest("time");
  const part = range.cloneContents();
  const times = $$("time", part);
  if (!around && !times.length) return;
  for (const t of times) t.textContent = " " + t.dateTime + " ";
  e.clipboardData.setData("text/plain", around ? around.dateTime : part.textContent.trim());
  e.preventDefault();
});

document.addEventListener("click", async (e) => {
  if (!(e.target instanceof Element) || e.defaultPrevented || e.button || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey) return;
  const hit = (selector) => e.target.closest(selector);
  let at;
  if ((at = hit("[data-copy]"))) return copy(at.dataset.copy);
  if ((at = hit("[data-copy-from]"))) return copy(await (await fetch(at.dataset.copyFrom)).text());
  if (hit("[data-fold]")) return fold();
  if ((at = hit("[data-rest]"))) { e.preventDefault(); return rest(at); }
  if (hit("[data-palette]")) { e.preventDefault(); return palette(); }
  if (hit("[data-keys-table]")) { e.preventDefault(); return $("#keys").showModal(); }
  if ((at = hit("[data-dialog]"))) { e.preventDefault(); return dialog(at.href); }
  if (hit("[data-dialog-close]") && $("#dialog").open) { e.preventDefault(); return $("#dialog").close(); }
  if ((at = hit("a[data-panel]")) && $("#panel")) { e.preventDefault(); return panel(at); }
  if (hit("[data-panel-close]") && $("#panel")) { e.preventDefault(); return closePanel(); }
  if ((at = hit("[data-strip]"))) return jump(at, e);
  const open = $("dialog[open]");
  if (open && e.target === open) { // its backdrop
    const r = open.getBoundingClientRect();
    if (e.clientX < r.left || e.clientX > r.right || e.clientY < r.top || e.clientY > r.bottom) open.close();
  }
});

/** rest loads what a page left out of a document, as text, in parts. */
async function rest(link) {
  link.setAttribute("aria-busy", "true");
  link.textContent = "Loading…";
  const answer = await fetch(link.href);
  const pre = document.createElement("pre");
  pre.className = "json raw rest-text";
  pre.tabIndex = 0;
  const hidden = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;
  const text = (await answer.text()).replace(hidden, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
  for (let i = 0; i < text.length; i += 1 << 18) {
    pre.append(text.slice(i, i + (1 << 18)));
    await new Promise((done) => setTimeout(done));
  }
  link.closest(".rest").replaceChildren(pre);
  pre.focus();
}

function fold() {
  const all = $$(".json details").filter((d) => d.parentElement.closest("details"));
  const open = all.some((d) => !d.open);
  for (const d of all) d.open = open;
}

/** jump goes to the time of a strip that was pressed. */
function jump(svg, e) {
  const r = svg.getBoundingClientRect();
  const from = Date.parse(svg.dataset.from), to = Date.parse(svg.dataset.to);
  const at = from + (to - from) * (Math.ceil(((e.clientX - r.left) / r.width) * 96) / 96);
  const url = new URL(location.href);
  for (const name of ["cursor", "event", "order", "since", "until"]) url.searchParams.delete(name);
  url.searchParams.set("at", new Date(at).toISOString());
  location.assign(url);
}

// The panel beside a timeline.
let opener = null;
async function panel(link) {
  const { answer, html } = await fragment(link.href, "panel");
  if (!answer.ok && answer.status >= 500) { location.assign(link.href); return; }
  opener = link;
  put($("#panel"), html);
  $("#split").classList.add("has-panel");
  for (const a of $$("a[data-panel][aria-current]")) a.removeAttribute("aria-current");
  link.setAttribute("aria-current", "true");
  history.pushState({ panel: true }, "", link.href);
  $("#panel").scrollTop = 0;
  $("#panel").focus({ preventScroll: true });
}
function closePanel() {
  const close = $("#panel [data-panel-close]");
  const url = new URL(close ? close.href : location.href, location.href);
  url.searchParams.delete("event");
  $("#split").classList.remove("has-panel");
  $("#panel").replaceChildren();
  const back = opener?.isConnected ? opener : $("a[data-panel][aria-current]");
  back?.removeAttribute("aria-current");
  history.pushState({}, "", url);
  back?.focus();
}
addEventListener("popstate", () => { if ($("#panel")) location.reload(); });

// Dialogs show what a link leads to.
let asked = null;
async function dialog(url, options) {
  const box = $("#dialog");
  if (!box.open) asked = document.activeElement;
  const { answer, html } = await fragment(url, "dialog", options);
  if (answer.redirected) { location.assign(answer.url); return; }
  put($("#dialog-body"), html);
  const title = $("h1", box);
  if (title) { title.id = "dialog-title"; box.setAttribute("aria-labelledby", "dialog-title"); box.removeAttribute("aria-label"); }
  if (!box.open) box.showModal();
  ($("[autofocus], input:not([type=hidden]), textarea, select, .button", $("#dialog-body")) || box).focus();
}
$("#dialog").addEventListener("close", () => { $("#dialog-body").replaceChildren(); asked?.isConnected && asked.focus(); });
$("#dialog").addEventListener("submit", (e) => {
  const form = e.target;
  if (form.getAttribute("method") === "dialog") return;
  e.preventDefault();
  const data = new URLSearchParams(new FormData(form, e.submitter));
  if (form.method === "get") dialog(form.action + "?" + data);
  else dialog(form.action, { method: "POST", body: data });
});

// The palette.
const found = $("#found");
let wanted = 0;
async function lookUp() {
  const query = $("#palette input").value, mine = ++wanted;
  const { html } = await fragment(base + "/palette?q=" + encodeURIComponent(query), "palette");
  if (mine === wanted) put(found, html);
}
function palette() {
  if ($("#palette").open) return;
  $("#palette").showModal();
  $("#palette input").select();
  lookUp();
}
let typed = 0;
$("#palette input").addEventListener("input", () => { clearTimeout(typed); typed = setTimeout(lookUp, 120); });
$("#palette").addEventListener("keydown", (e) => {
  const links = $$("a", found), at = links.indexOf(document.activeElement);
  if (e.key === "ArrowDown") links[Math.min(at + 1, links.length - 1)]?.focus();
  else if (e.key === "ArrowUp") (at > 0 ? links[at - 1] : $("#palette input")).focus();
  else if (e.key === "Enter" && e.target.matches("input")) openFirst(e.target);
  else return;
  e.preventDefault();
});
/** openFirst opens the first of what is found for what was typed; that is the search itself where nothing else is. */
async function openFirst(input) {
  clearTimeout(typed);
  await lookUp().catch(() => {});
  const first = $("a", found);
  first ? first.click() : input.form.submit();
}

// Filters apply themselves.
for (const form of $$("form[data-auto]")) {
  form.addEventListener("change", (e) => { if (e.target.matches("select, input[type=date], input[type=checkbox]")) form.requestSubmit(); });
  form.addEventListener("submit", () => { for (const f of form.elements) if (f.value === "") f.disabled = true; });
}

// Parts of a page that follow what happens: asked for again, and put in place only where they changed.
for (const part of $$("[data-refresh]")) {
  let before = part.innerHTML;
  const again = async () => {
    if (!document.hidden && !$("dialog[open]") && part.isConnected && part.dataset.refresh) {
      try {
        const { answer, html } = await fragment(location.href, "refresh");
        const fresh = answer.ok && new DOMParser().parseFromString(html, "text/html").getElementById(part.id);
        if (fresh) {
          part.dataset.refresh = fresh.dataset.refresh || "";
          if (fresh.innerHTML !== before) {
            before = fresh.innerHTML;
            const focus = part.contains(document.activeElement) ? place(part, document.activeElement) : null;
            const open = $$("details", part).map((d) => d.open);
            part.replaceChildren(...fresh.childNodes);
            $$("details", part).forEach((d, i) => { if (open[i]) d.open = true; });
            if (focus) (focus(part) || $("#main")).focus({ preventScroll: true });
          }
        }
      } catch { /* the next time, perhaps */ }
    }
    if (part.dataset.refresh) setTimeout(again, 1000 * Number(part.dataset.refresh));
  };
  if (part.dataset.refresh) setTimeout(again, 1000 * Number(part.dataset.refresh));
}
/** place remembers which control has the focus, so that its successor gets it. */
function place(part, control) {
  if (control.id) return (p) => p.ownerDocument.getElementById(control.id);
  const kind = control.tagName, at = $$(kind, part).indexOf(control);
  return (p) => $$(kind, p)[at];
}

// Rows, and keys.
const rows = () => $$("[data-row]").filter((r) => r.checkVisibility());
let current = null, last = null;
function move(by) {
  const all = rows();
  if (!all.length) return;
  const at = all.indexOf(current?.isConnected ? current : document.activeElement?.closest("[data-row]"));
  current?.removeAttribute("data-current");
  current = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.max(0, Math.min(all.length - 1, at + by))];
  current.setAttribute("data-current", "");
  ($("[data-open]", current) || $("a, button, input", current))?.focus({ preventScroll: true });
  current.scrollIntoView({ block: "nearest" });
}
function select(range) {
  const box = current && $("input[type=checkbox]", current);
  if (!box) return;
  if (range && last?.isConnected) {
    const all = rows(), [a, b] = [all.indexOf(last), all.indexOf(current)].sort((x, y) => x - y);
    for (const r of all.slice(a, b + 1)) { const c = $("input[type=checkbox]", r); if (c) c.checked = true; }
  } else box.checked = !box.checked;
  last = current;
  count();
}
function count() {
  const n = $$("[data-row] input[type=checkbox]:checked").length;
  for (const r of $$("[data-row]")) r.toggleAttribute("data-selected", !!$("input[type=checkbox]:checked", r));
  for (const c of $$("[data-count]")) c.textContent = n ? n + " selected" : "None selected";
}
document.addEventListener("change", (e) => { if (e.target.closest?.("[data-row]")) count(); });
const all = $("[data-all]");
all?.addEventListener("change", () => { for (const c of $$("[data-row] input[type=checkbox]")) c.checked = all.checked; count(); });

const typing = (node) => !!node?.closest?.("input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]");
const views = { h: "/", a: "/accounts", t: "/live", q: "/quarantine", l: "/links", j: "/jobs", d: "/drift", w: "/alerts", s: "/sources" };
let going = 0;
document.addEventListener("keydown", (e) => {
  if ((e.metaKey || e.ctrlKey) && e.key.toLowerCase() === "k" && !e.altKey && !e.shiftKey) { e.preventDefault(); return palette(); }
  if (e.key === "Escape" && !$("dialog[open]") && !$(":popover-open")) {
    if (typing(document.activeElement)) return document.activeElement.blur();
    if ($("#split")?.classList.contains("has-panel")) return closePanel();
    if (root.dataset.keys !== "off") $("[data-back]")?.click();
    return;
  }
  if (root.dataset.keys === "off" || e.metaKey || e.ctrlKey || e.altKey || e.isComposing || typing(document.activeElement) || $("dialog[open]")) return;
  if (Date.now() - going < 1500 && views[e.key]) { e.preventDefault(); location.assign(base + views[e.key]); return; }
  const act = {
    "?": () => $("#keys").showModal(),
    "/": () => { const f = $("main [data-search]"); f ? f.focus() : palette(); },
    j: () => move(1),
    k: () => move(-1),
    x: () => select(false),
    X: () => select(true),
    e: fold,
    u: () => $(".switches [name=zone][aria-pressed=false]")?.click(),
    l: () => (current && $("[data-link]", current) || (current ? null : $("main [data-link]")))?.click(),
    r: () => $("main [data-release]")?.click(),
    p: () => $("[data-live-toggle]")?.click(),
    g: () => { going = Date.now(); },
  }[e.key];
  if (act) { e.preventDefault(); act(); }
});
