// ARIA tabs over panels that all stand one below another without JavaScript.
function select(tab) {
  const tabs = [...tab.closest("[role=tablist]").querySelectorAll("[role=tab]")];
  for (const other of tabs) {
    const chosen = other === tab;
    other.setAttribute("aria-selected", String(chosen));
    other.tabIndex = chosen ? 0 : -1;
    document.getElementById(other.getAttribute("aria-controls")).hidden = !chosen;
  }
  sessionStorage.setItem("snippet", tab.id);
}

function restore() {
  for (const list of document.querySelectorAll("[role=tablist]")) {
    const remembered = list.querySelector(`#${CSS.escape(sessionStorage.getItem("snippet") ?? "none")}`);
    select(remembered ?? list.querySelector("[role=tab]"));
  }
}

document.addEventListener("click", (event) => {
  const tab = event.target.closest("[role=tab]");
  if (tab) select(tab);
});

document.addEventListener("keydown", (event) => {
  const tab = event.target.closest("[role=tab]");
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!tab || !step) return;
  const tabs = [...tab.closest("[role=tablist]").querySelectorAll("[role=tab]")];
  const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
  select(next);
  next.focus();
});

document.addEventListener("DOMContentLoaded", restore);
document.addEventListener("htmx:after:swap", restore);

// The tab one is on, where not all fit beside each other.
const current = document.querySelector(".subnav [aria-current]");
if (current) current.parentElement.scrollLeft = current.offsetLeft - (current.parentElement.clientWidth - current.offsetWidth) / 2;
