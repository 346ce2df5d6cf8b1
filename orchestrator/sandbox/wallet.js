"use strict";
// Follows the wallet: what is shown changes without a reload. Works on what the server
// wrote; without this script the page is reloaded by hand.

// A link with the session pointer behind `#`, as those that open an app.
function scanned() {
  if (location.hash.length < 2) return false;
  let pointer = location.hash.slice(1);
  try {
    pointer = decodeURIComponent(pointer);
  } catch {
    // Not encoded: taken as it is, the server says what is wrong with it.
  }
  location.replace("/wallet?pointer=" + encodeURIComponent(pointer));
  return true;
}

async function refresh() {
  const answer = await fetch("/wallet");
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const before = document.querySelector("main");
  const focused = before.contains(document.activeElement);
  before.replaceWith(page.querySelector("main"));
  if (focused || document.activeElement === document.body) {
    document.getElementById("now").focus();
  }
}

async function follow() {
  for (;;) {
    const shown = document.querySelector("main").dataset.revision;
    try {
      const answer = await fetch("/wallet/state?after=" + shown);
      const state = await answer.json();
      if (String(state.revision) !== shown) await refresh();
    } catch {
      await new Promise((resume) => setTimeout(resume, 1000));
    }
  }
}

window.addEventListener("hashchange", scanned);
if (!scanned()) follow();
