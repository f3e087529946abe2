// Keys, copying, and asking before what cannot be taken back. Everything works without it, only slower.
const typing = (at) => at instanceof HTMLElement && (at.matches("input:not([type=checkbox], [type=radio]), textarea, select") || at.isContentEditable);

// Rows of a grid: j and k go on and back, enter opens, x selects.
const rows = () => [...document.querySelectorAll("[data-grid] tbody tr[data-href]")];
const current = () => document.querySelector("[data-grid] tr.current");
function go(step) {
  const all = rows();
  if (!all.length) return;
  const at = all.indexOf(current());
  const next = all[Math.min(all.length - 1, Math.max(0, at + step))];
  all.forEach((row) => row.classList.toggle("current", row === next));
  next.scrollIntoView({ block: "nearest" });
  next.querySelector("a")?.focus({ preventScroll: true });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" && typing(event.target)) return event.target.blur();
  if (typing(event.target)) return;
  const help = document.getElementById("keys");
  switch (event.key) {
    case "/": {
      // The page's own before the one above every page.
      const box = document.querySelector("main [data-search]") ?? document.querySelector("[data-search]");
      if (!box) return;
      event.preventDefault();
      box.focus();
      box.select();
      break;
    }
    case "j": go(1); break;
    case "k": go(-1); break;
    case "Enter": {
      const row = current();
      if (row && (event.target === document.body || event.target.matches("[type=checkbox]"))) location.assign(row.dataset.href);
      break;
    }
    case "n": document.querySelector("[rel=next]")?.click(); break;
    case "x": current()?.querySelector("input[type=checkbox]")?.click(); break;
    case "?": help?.togglePopover(); break;
    default: {
      // What a page has at hand under a key: a field is gone to, anything else is pressed.
      const at = event.key.length === 1 && document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
      if (!at) return;
      event.preventDefault();
      if (typing(at)) at.focus();
      else at.click();
    }
  }
});

// One box for all of a name, and how many are ticked beside the button that is about them.
function ticked() {
  for (const button of document.querySelectorAll("[data-ticks]")) {
    const n = document.querySelectorAll(`input[name="${CSS.escape(button.dataset.ticks)}"]:checked`).length;
    button.dataset.words ??= button.textContent;
    button.textContent = n ? `${button.dataset.words} ${n}` : button.dataset.words;
    button.disabled = !n;
  }
}
document.addEventListener("change", (event) => {
  const name = event.target.dataset?.all;
  if (name) for (const box of document.querySelectorAll(`input[name="${CSS.escape(name)}"]:not(:disabled)`)) box.checked = event.target.checked;
  ticked();
});
document.addEventListener("htmx:afterSettle", ticked);
ticked();

document.addEventListener("click", (event) => {
  const at = event.target instanceof Element ? event.target : null;
  if (!at) return;
  const copy = at.closest("[data-copy]");
  if (copy) {
    navigator.clipboard?.writeText(copy.dataset.copy).then(() => {
      copy.classList.add("done");
      setTimeout(() => copy.classList.remove("done"), 1200);
    });
    return;
  }
  if (at.closest("[data-close]")) return at.closest("dialog")?.close();
  // A row is one big link, but for what can be clicked in it, and for text being selected.
  const row = at.closest("tr[data-href]");
  if (row && !at.closest("a, button, input, label, summary") && !getSelection()?.toString()) location.assign(row.dataset.href);
});

// Of pages side by side, this one is in sight.
document.querySelector(".tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

// A form that says so is sent once it is changed; one that asks, asks.
document.addEventListener("change", (event) => event.target.closest?.("form[data-auto]")?.requestSubmit());
// What follows from a choice is asked for once it is made.
document.addEventListener("change", (event) => {
  const form = event.target.closest?.("form[data-grows]");
  if (form && event.target.matches("select[name=connection], select[name=action]")) form.requestSubmit(form.querySelector("[name=more]"));
});
if (location.hash === "#delete") document.getElementById("delete")?.setAttribute("open", "");
document.addEventListener("submit", (event) => {
  const words = event.submitter?.dataset.ask ?? event.target.dataset.ask;
  if (words && !confirm(words)) return event.preventDefault();
  if (event.target.method === "post") {
    // Not before the form is on its way: a button that is off is not sent, and which one was pressed matters.
    const buttons = event.target.querySelectorAll("button");
    setTimeout(() => buttons.forEach((button) => (button.disabled = true)));
  }
});
// A page that comes back from the browser's memory can be sent again.
addEventListener("pageshow", (event) => {
  if (event.persisted) for (const button of document.querySelectorAll("form button")) button.disabled = false;
});

// A part of a page that is shown anew keeps what somebody is at: what they opened, the row they are on, what they type.
document.addEventListener("htmx:beforeSwap", (event) => {
  const part = event.detail.target;
  if (part?.dataset?.live === undefined) return;
  const at = document.activeElement;
  const isTyping = part.contains(at) && typing(at);
  if (isTyping || part.querySelector("details[open] form, dialog[open]")) event.detail.shouldSwap = false;
});
if (window.Idiomorph) {
  Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node) =>
    !(name === "open" && node.matches("details")) && !(name === "class" && node.matches("tr.current"));
}
// The stream ends when the session does.
document.addEventListener("htmx:sseClose", (event) => {
  const words = document.getElementById("stale");
  if (words && event.detail.type === "message") words.hidden = false;
});
