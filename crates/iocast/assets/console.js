// Keys, copying, and asking before what cannot be taken back. Everything works without it, only slower.
const typing = (at) => at instanceof HTMLElement && (at.matches("input, textarea, select") || at.isContentEditable);

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
      const box = document.querySelector("[data-search]");
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
      if (row && event.target === document.body) location.assign(row.dataset.href);
      break;
    }
    case "n": document.querySelector("[rel=next]")?.click(); break;
    case "x": current()?.querySelector("input[type=checkbox]")?.click(); break;
    case "?": help?.open ? help.close() : help?.showModal(); break;
  }
});

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
document.addEventListener("submit", (event) => {
  const words = event.submitter?.dataset.ask ?? event.target.dataset.ask;
  if (words && !confirm(words)) return event.preventDefault();
  if (event.target.method === "post") {
    for (const button of event.target.querySelectorAll("button")) queueMicrotask(() => (button.disabled = true));
  }
});
// A page that comes back from the browser's memory can be sent again.
addEventListener("pageshow", (event) => {
  if (event.persisted) for (const button of document.querySelectorAll("form button")) button.disabled = false;
});
