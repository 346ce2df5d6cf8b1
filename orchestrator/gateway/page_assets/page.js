"use strict";
// Moves the page on: hears that something has changed, and shows what the server wrote.
// Without this script the page is loaded again every few seconds.

const LOOK_MS = 2000;
const QUIET_MS = 5000;

const main = document.querySelector("main");
let stream = null;
let looking = null;
let loading = false;
let again = false;
let going = false;

function over() {
  return ["completed", "failed", "cancelled", "expired"].includes(main.dataset.state);
}

// The end of the chain is told; where it goes on to takes this page's place.
function settle() {
  if (!over()) return;
  if (stream) stream.close();
  clearInterval(looking);
  const link = document.getElementById("go-on");
  if (link && !going) {
    going = true;
    setTimeout(() => location.replace(link.href), Number(link.dataset.afterS) * 1000);
  }
}

// What is said and what is to be done are replaced, not the places they are in: what a
// screen reader listens to has to stay.
function show(page) {
  const fresh = page.querySelector("main");
  const focused = main.contains(document.activeElement);
  for (const id of ["said", "deed"]) {
    const from = fresh.querySelector("#" + id);
    document.getElementById(id).replaceChildren(...from.childNodes);
  }
  Object.assign(main.dataset, fresh.dataset);
  document.title = page.title;
  if (focused) document.querySelector("h1").focus();
  settle();
}

// One at a time; what changes meanwhile is loaded after it.
async function load() {
  if (loading) {
    again = true;
    return;
  }
  loading = true;
  again = false;
  try {
    const answer = await fetch(location.href, { cache: "no-store" });
    if (answer.status === 404) location.reload();
    if (!answer.ok) throw new Error("not now");
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (page.querySelector("main").dataset.revision !== main.dataset.revision) show(page);
  } catch {
    setTimeout(look, LOOK_MS);
  } finally {
    loading = false;
    if (again) load();
  }
}

function look() {
  if (!over()) load();
}

function poll() {
  if (looking === null && !over()) looking = setInterval(look, LOOK_MS);
}

function listen() {
  stream = new EventSource(location.pathname + "/statusevents");
  // Something between us may hold back what is told bit by bit.
  const quiet = setTimeout(poll, QUIET_MS);
  stream.onmessage = (event) => {
    clearTimeout(quiet);
    clearInterval(looking);
    looking = null;
    if (event.lastEventId !== main.dataset.revision) load();
  };
  stream.onerror = poll;
}

// Back from the app, the browser may have let go of the stream.
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) look();
});

settle();
if (!over()) listen();
