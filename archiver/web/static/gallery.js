// What a keyboard, a clipboard and Back make more of. Every page works without it, too.
"use strict";

const grid = document.getElementById("grid");
const box = document.getElementById("q");
const asset = document.querySelector("main.asset");

document.documentElement.classList.add("scripted");

function say(text) {
  const said = document.getElementById("said");
  said.textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => (said.textContent = ""), 2500);
}

// --- Pictures of a grid: one of them is in the order of tabs, and arrows lead from it. ---

const pictures = () => [...document.querySelectorAll("#grid a[data-number]")];
const current = () => grid?.querySelector('a[tabindex="0"]');

function makeCurrent(picture) {
  for (const it of pictures()) it.tabIndex = it === picture ? 0 : -1;
}

const settle = () => makeCurrent(current() ?? pictures()[0]);

function step(to) {
  makeCurrent(to);
  to.focus({ preventScroll: true });
  to.scrollIntoView({ block: "nearest" });
}

const middle = (it) => it.left + it.width / 2;

// The nearest in the row above or below; rows are told by where their pictures begin.
function inNextRow(from, sign) {
  const own = from.getBoundingClientRect();
  const placed = pictures().map((it) => [it, it.getBoundingClientRect()]);
  const beyond = placed.filter(([, at]) => sign * (at.top - own.top) > 1);
  if (!beyond.length) return null;
  const tops = beyond.map(([, at]) => at.top);
  const top = sign > 0 ? Math.min(...tops) : Math.max(...tops);
  const row = beyond.filter(([, at]) => Math.abs(at.top - top) <= 1);
  const away = ([, at]) => Math.abs(middle(at) - middle(own));
  return row.reduce((best, it) => (away(it) < away(best) ? it : best))[0];
}

function target(key) {
  const all = pictures();
  const from = document.activeElement;
  if (!all.includes(from)) {
    return all.find((it) => it.getBoundingClientRect().bottom > 80) ?? all[0];
  }
  if (key === "ArrowUp" || key === "ArrowDown") return inNextRow(from, key === "ArrowUp" ? -1 : 1);
  return all[all.indexOf(from) + (key === "ArrowLeft" ? -1 : 1)];
}

// --- Copying ---

async function write(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(await text);
  // Only pages that came by https, or from this machine, have a clipboard.
  const area = document.createElement("textarea");
  area.value = await text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("the browser does not let us");
}

async function copy(text, what) {
  try {
    await write(text);
    say(`${what} copied`);
  } catch (error) {
    say(`Not copied: ${error.message}`);
  }
}

// A grid has prompts cut short; the archive has them whole.
async function promptOf(number) {
  const answer = await fetch(`/api/v1/assets/${number}`);
  if (!answer.ok) throw new Error(`the archive answered ${answer.status}`);
  const { prompt } = await answer.json();
  if (!prompt) throw new Error("no prompt is known of it");
  return prompt;
}

document.addEventListener("click", (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return; // a tab or a window of its own
  const button = event.target.closest("[data-copy]");
  if (button) {
    const what = button.dataset.copy;
    copy(document.getElementById(what).textContent, what === "prompt" ? "Prompt" : "Request");
  }
  const link = event.target.closest("[data-link]");
  if (link) {
    event.preventDefault();
    copy(link.href, "Link");
  }
  if (event.target.closest("a[rel=up]")) sessionStorage.setItem("returning", "yes");
});

// --- Keys ---

function follow(selector) {
  const link = document.querySelector(selector);
  link?.click();
  return Boolean(link);
}

const keys = {
  "/": () => (box?.focus(), box?.select(), true),
  "?": () => (document.getElementById("keys")?.togglePopover(), true),
  c: () => {
    if (asset) return follow("[data-copy=prompt]");
    const number = document.activeElement.dataset.number;
    if (number) copy(promptOf(number), "Prompt");
    return Boolean(number);
  },
  Escape: () => asset && follow("a[rel=up]"),
};

function arrow(key) {
  if (asset) {
    const ways = { ArrowLeft: "a[rel=prev]", ArrowRight: "a[rel=next]" };
    return key in ways && follow(ways[key]);
  }
  const to = target(key);
  if (to) step(to);
  return Boolean(to);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const at = event.target;
  if (at.closest("input, textarea, select, video")) {
    if (event.key === "Escape" && at === box) {
      at.blur();
      current()?.focus();
      event.preventDefault();
    }
    return;
  }
  if (document.querySelector(":popover-open") && event.key !== "?") return;
  // What scrolls by itself is scrolled.
  if (event.key.startsWith("Arrow") && at.closest(".prompt, pre")) return;
  const done = event.key.startsWith("Arrow") ? arrow(event.key) : keys[event.key]?.();
  if (done) event.preventDefault();
});

// --- Back: the grid as it was left, with all that had been loaded, and the picture last seen. ---

const place = `grid ${new URLSearchParams(location.search)}`;

function keep() {
  if (!grid) return;
  try {
    sessionStorage.setItem(place, JSON.stringify({ html: grid.innerHTML, y: scrollY }));
  } catch {
    sessionStorage.clear(); // full: the next Back begins at the top
  }
}

function restore() {
  const [navigation] = performance.getEntriesByType("navigation");
  const returning = sessionStorage.getItem("returning") || navigation?.type === "back_forward";
  sessionStorage.removeItem("returning");
  const kept = grid && returning && JSON.parse(sessionStorage.getItem(place));
  if (!kept) return;
  history.scrollRestoration = "manual";
  grid.innerHTML = kept.html;
  const seen = sessionStorage.getItem("seen");
  const picture = pictures().find((it) => it.dataset.number === seen);
  scrollTo(0, kept.y);
  if (!picture) return;
  makeCurrent(picture);
  picture.focus({ preventScroll: true });
  picture.scrollIntoView({ block: "nearest" });
}

addEventListener("pagehide", keep);
if (asset) sessionStorage.setItem("seen", asset.dataset.number);
restore();
if (grid) {
  settle();
  new MutationObserver(settle).observe(grid, { childList: true });
}
document.addEventListener("focusin", (event) => {
  if (event.target.matches("#grid a[data-number]")) makeCurrent(event.target);
});

// --- A thumbnail that does not come leaves its words. ---

const fail = (image) => image.closest(".cell")?.classList.add("failed");

addEventListener("error", (event) => event.target.matches?.("img") && fail(event.target), true);
for (const image of document.images) if (image.complete && !image.naturalWidth) fail(image);

// --- A query that is wrong: where it is. ---

if (box?.dataset.position) {
  box.focus();
  box.setSelectionRange(box.dataset.position, box.dataset.position);
}
