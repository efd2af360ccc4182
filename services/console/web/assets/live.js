// The live tail of a page: one stream, released while the page is hidden; what it says is always seen.
const list = document.querySelector("[data-live]");
const button = document.querySelector("[data-live-toggle]");
const label = document.querySelector("[data-live-label]");
const said = document.querySelector("[data-live-said]");
const most = 500; // rows that a page keeps

// Browsers give a site six connections where there is no HTTP/2. Three tails share them with pages; the tab that has the
// focus takes a place from another, which waits.
const places = ["tail-1", "tail-2", "tail-3"];

let stream = null, release = null, giveUp = null, last = list.dataset.newest || "", wanted = true, buffered = [], lost = 0, retry = 0, timer = 0;
const seen = new Set([...document.querySelectorAll("[data-id]")].map((r) => r.dataset.id));
button.hidden = false;

function show(state, text) {
  button.dataset.state = state;
  if (label.textContent === text) return;
  label.textContent = text;
  button.setAttribute("aria-label", text + (state === "paused" ? ": go on" : ": pause"));
  const spoken = { live: "Live", paused: "Paused", lost: "The connection is lost" }[state] || "";
  if (said.textContent !== spoken) said.textContent = spoken;
}
function status() {
  const more = buffered.filter((b) => b.id).length;
  if (!wanted) show("paused", "Paused" + (more ? " · " + more.toLocaleString("en") + " new" : ""));
  else if (stream?.readyState === 1) more ? show("paused", "Paused · " + more.toLocaleString("en") + " new") : show("live", "Live");
  else if (lost) show("lost", "Reconnecting");
}

/** place of rows: the list of a live tail, or of today on a timeline. */
function home() {
  const own = document.querySelector("[data-live-list]");
  if (own) return own;
  let day = document.getElementById("live-day");
  if (!day) {
    day = document.createElement("section");
    day.className = "day";
    day.id = "live-day";
    const title = document.createElement("h2");
    title.textContent = "New";
    day.append(title, document.createElement("ol"));
    list.querySelector(":scope > .empty")?.remove();
    list.prepend(day);
  }
  return day.querySelector("ol");
}

function add(rows) {
  if (!rows.length) return;
  document.querySelector("[data-live-empty]")?.remove();
  const to = home();
  const fresh = new DocumentFragment();
  for (const r of rows.reverse()) {
    const row = new DOMParser().parseFromString(r.html, "text/html").body.firstElementChild;
    if (row) { row.classList.add("new"); fresh.append(row); }
  }
  to.prepend(fresh);
  while (to.children.length > most) { seen.delete(to.lastElementChild.dataset.id); to.lastElementChild.remove(); }
}

// Reading below the top is a pause: rows that come would push away what is read.
const reading = () => scrollY > 160 || !!document.querySelector("dialog[open]");
let frame = 0;
function take(html, id) {
  if (id) {
    last = id;
    const key = /data-id="(\d+)"/.exec(html)?.[1];
    if (key && seen.has(key)) return;
    if (key) seen.add(key);
  }
  buffered.push({ html, id });
  if (buffered.length > 5000) buffered.splice(0, buffered.length - 5000);
  if (!frame) frame = requestAnimationFrame(drain);
}
function drain() {
  frame = 0;
  if (wanted && !reading()) { const rows = buffered.splice(0); add(rows.slice(-most)); }
  status();
}

function stop() {
  clearTimeout(timer);
  stream?.close();
  stream = null;
  giveUp?.abort();
  giveUp = null;
  release?.();
  release = null;
}

function connect() {
  clearTimeout(timer);
  if (stream || document.hidden) return;
  const url = new URL(list.dataset.live, location.href);
  if (last) url.searchParams.set("after", last);
  stream = new EventSource(url);
  stream.addEventListener("open", () => { lost = 0; retry = 0; status(); });
  stream.addEventListener("row", (e) => take(e.data, e.lastEventId));
  stream.addEventListener("skipped", (e) => take(e.data, ""));
  stream.addEventListener("error", () => {
    lost++;
    status();
    if (stream?.readyState === 2) { // refused: the browser does not try again, so we do
      stream.close();
      stream = null;
      retry = Math.min(30000, Math.max(1000, retry * 2)) * (0.7 + Math.random() * 0.6);
      timer = setTimeout(connect, retry);
    }
  });
}

/** hold asks for a place: true when the tab has it, false when it has not. It connects while it has it. */
const hold = (name, options) => new Promise((answer) => {
  navigator.locks.request(name, options, (lock) => {
    answer(!!lock);
    if (!lock || document.hidden || !wanted) return undefined;
    connect();
    return new Promise((done) => { release = done; });
  }).catch(() => {
    answer(false);
    if (!options.signal?.aborted) taken();
  });
});

/** begin takes a place among the tabs, and connects. */
let beginning = false;
async function begin(take = false) {
  if (stream || beginning || document.hidden || !wanted) return;
  if (!navigator.locks) return connect();
  beginning = true;
  giveUp?.abort();
  giveUp = null;
  show("", "Connecting");
  try {
    for (const name of places) if (await hold(name, { ifAvailable: true })) return;
    const any = places[Math.floor(Math.random() * places.length)];
    if (take || document.hasFocus()) { await hold(any, { steal: true }); return; }
    show("paused", "Paused · other tabs are live");
    giveUp = new AbortController();
    hold(any, { signal: giveUp.signal });
  } finally { beginning = false; }
}
/** taken: another tab has taken the place. */
function taken() {
  release = null;
  stop();
  show("paused", "Paused · another tab is live");
}

button.addEventListener("click", () => {
  if (button.dataset.state === "paused" && wanted && !stream) return begin(true);
  if (wanted && buffered.length && reading()) { scrollTo({ top: 0 }); drain(); return; }
  wanted = !wanted;
  if (wanted) { stream ? drain() : begin(true); }
  status();
});
addEventListener("scroll", () => { if (buffered.length && !frame) frame = requestAnimationFrame(drain); }, { passive: true });
addEventListener("focus", () => { if (!stream && wanted) begin(true); });
document.addEventListener("visibilitychange", () => {
  if (document.hidden) stop();
  else begin();
});
addEventListener("pagehide", stop);
addEventListener("pageshow", (e) => { if (e.persisted) begin(); });
begin();
