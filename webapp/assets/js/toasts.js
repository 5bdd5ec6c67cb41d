// Short messages in the corner, announced to screen readers; errors stay until they are closed.
const SHOWN_MS = 6000;

function expire(element) {
  if (!element.classList.contains("toast-error")) setTimeout(() => element.remove(), SHOWN_MS);
}

export function toast(text, kind = "success") {
  const template = document.getElementById(`toast-${kind}`);
  const element = template.content.firstElementChild.cloneNode(true);
  element.querySelector("p").textContent = text;
  document.getElementById("toasts").append(element);
  expire(element);
}

document.addEventListener("click", (event) => event.target.closest("[data-dismiss]")?.closest(".toast")?.remove());
document.addEventListener("DOMContentLoaded", () => document.querySelectorAll("#toasts .toast").forEach(expire));
