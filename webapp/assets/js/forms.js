// Submit buttons wait for the typed confirmation, and show that a submission is under way.
function guard(input) {
  const button = input.form.querySelector("[type=submit]");
  button.disabled = input.value.trim() !== input.dataset.confirm;
}

function guardAll() {
  document.querySelectorAll("input[data-confirm]").forEach(guard);
}

document.addEventListener("input", (event) => {
  if (event.target.matches("input[data-confirm]")) guard(event.target);
});

document.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (!button || event.target.method === "dialog" || event.target.hasAttribute("hx-get")) return;
  if (button.getAttribute("aria-busy") === "true") event.preventDefault();
  button.setAttribute("aria-busy", "true");
});

// Coming back by the history shows the page as it was left, with its busy buttons.
window.addEventListener("pageshow", () => {
  document.querySelectorAll("[aria-busy=true]").forEach((button) => button.removeAttribute("aria-busy"));
  guardAll();
});

// What is swapped in may hold confirmations of its own.
document.addEventListener("htmx:after:swap", guardAll);
