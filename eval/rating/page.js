// What the page shows comes from the server, escaped; this sends the clicks and keys there, one at a time.
const root = document.getElementById("page");
const rater = new URLSearchParams(location.search).get("rater") ?? "";
let turn = Promise.resolve();
let shown = 0;
let lastKey = "";
let lastTime = 0;

const card = () => root.firstElementChild;

async function ask(token, action, value) {
  let html;
  try {
    const answer = await fetch("/act", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ rater, token, action, value }),
    });
    if (answer.ok) html = await answer.text();
  } catch {}
  if (typeof html !== "string") {
    root.querySelector(".lost")?.removeAttribute("hidden");
    if (!card()) setTimeout(() => ask(token, action, value), 1000);
    return;
  }
  const before = card()?.dataset.token;
  root.innerHTML = html;
  card().classList.toggle("fresh", card().dataset.token !== before);
  shown = Date.now();
  // The keys for scrolling work at once, and the tabulator goes on from here.
  root.querySelector("main")?.focus({ preventScroll: true });
}

// An answer is for what was shown when it was given. Where something else is shown by its turn, it is dropped: the
// second click of a double click, a key pressed twice. So the button is looked for when its turn comes.
function press(find) {
  const { token } = card().dataset;
  turn = turn.then(() => {
    const button = card().dataset.token === token && find();
    return button ? ask(token, button.dataset.action, button.dataset.value ?? "") : undefined;
  });
}

root.addEventListener("click", (event) => {
  const button = event.target.closest("[data-action]");
  const byPointer = event.detail > 0;
  if (button && !(byPointer && Date.now() - shown < 250)) press(() => button);
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.isComposing || !card()) return;
  // Where a keyboard has other letters or digits on its keys, the key's place counts.
  const letter = event.key.length > 1 || /[a-z0-9]/i.test(event.key);
  const key = letter ? event.key.toLowerCase() : event.code.replace(/^(Key|Digit)/, "").toLowerCase();
  if (!/^[a-z0-9]+$/.test(key) || (key === "enter" && event.target.closest("button, summary, a"))) return;
  if (key === "backspace") event.preventDefault();
  // A key that is pressed twice at once is one answer, even where the next label was there before its second press.
  const twice = key === lastKey && event.timeStamp - lastTime < 250;
  [lastKey, lastTime] = [key, event.timeStamp];
  press(() => root.querySelector(`[data-key~="${key}"]${twice ? ":not([data-value])" : ""}`));
});

ask("?", "open", "");
