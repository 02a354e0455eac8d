// Keeps an open page as it is now. Without it the page is whole, and only does not change by itself.
const feed = document.getElementById("feed");
const live = document.getElementById("live");
const output = document.getElementById("output");
const follow = document.getElementById("follow");
const pause = document.getElementById("pause");
const MOST = 500;
let source = null;
let waiting = [];
let renewed = false;
let leaving = false;

// Puts a part in its place; who was on something in it stays there.
function put({ id, html }) {
  const place = document.getElementById(id);
  if (!place) return;
  const focused = place.contains(document.activeElement) ? document.activeElement.id : "";
  const open = [...place.querySelectorAll("details[open]")].map((each) => each.id);
  place.innerHTML = html;
  for (const each of open) document.getElementById(each)?.setAttribute("open", "");
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  const phase = document.querySelector("#now .phase");
  const name = document.querySelector("#now h1");
  if (phase && name) document.title = `${name.textContent}: ${phase.textContent}`;
}

function write(lines, anew) {
  if (anew) output.replaceChildren();
  for (const { stream, text } of lines) {
    const line = document.createElement("div");
    line.className = `line ${stream}`;
    line.textContent = text;
    output.append(line);
  }
  while (output.childElementCount > MOST) output.firstElementChild.remove();
  if (follow.checked) output.scrollTop = output.scrollHeight;
}

function take({ anew, lines }) {
  if (pause.getAttribute("aria-pressed") !== "true") {
    write(lines, anew);
    return;
  }
  renewed ||= anew;
  waiting = (anew ? lines : waiting.concat(lines)).slice(-MOST);
  // Of those that were sent anew, after a pause of the stream itself, some are here already.
  pause.textContent = renewed ? "Go on" : `Go on (${waiting.length})`;
}

function tell(text) {
  feed.textContent = text;
}

function connect() {
  if (source || document.hidden) return;
  source = new EventSource(feed.dataset.feed);
  source.addEventListener("open", () => tell("live"));
  source.addEventListener("part", (event) => put(JSON.parse(event.data)));
  source.addEventListener("lines", (event) => take(JSON.parse(event.data)));
  source.addEventListener("said", (event) => {
    live.textContent = JSON.parse(event.data);
  });
  source.addEventListener("error", () => {
    if (leaving) return;
    tell("not live, trying again. If the supervisor was started anew: stillhere web");
    if (source && source.readyState === EventSource.CLOSED) {
      source = null;
      setTimeout(connect, 3000);
    }
  });
}

// A browser has six connections for all pages of one address: hidden ones give theirs back.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    source?.close();
    source = null;
  } else {
    connect();
  }
});
addEventListener("pagehide", () => {
  leaving = true;
  source?.close();
  source = null;
});
addEventListener("pageshow", (event) => {
  leaving = false;
  if (event.persisted) connect();
});

pause.addEventListener("click", () => {
  const paused = pause.getAttribute("aria-pressed") !== "true";
  pause.setAttribute("aria-pressed", String(paused));
  pause.textContent = paused ? "Go on" : "Pause";
  if (!paused) {
    write(waiting, renewed);
    waiting = [];
    renewed = false;
  }
});
// Whoever scrolls up reads: then nothing moves.
output.addEventListener("scroll", () => {
  follow.checked = output.scrollHeight - output.scrollTop - output.clientHeight < 24;
});
follow.addEventListener("change", () => {
  if (follow.checked) output.scrollTop = output.scrollHeight;
});

// A code's remaining time, second by second.
setInterval(() => {
  for (const each of document.querySelectorAll("[data-left]")) {
    each.dataset.until ??= String(performance.now() + 1000 * Number(each.dataset.left));
    each.textContent = String(Math.max(0, Math.round((each.dataset.until - performance.now()) / 1000)));
  }
}, 500);

// What was said once is not said again by a reload.
if (location.search) history.replaceState(null, "", location.pathname);
document.getElementById("tools").hidden = false;
output.scrollTop = output.scrollHeight;
connect();
