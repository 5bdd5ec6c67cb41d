// An upload with a progress bar: by choice or by drag and drop. Without it the form does the same, silently.
function size(bytes) {
  const units = ["B", "KB", "MB", "GB"];
  let amount = bytes;
  while (amount >= 1024 && units.length > 1) {
    amount /= 1024;
    units.shift();
  }
  return `${amount.toFixed(units[0] === "B" ? 0 : 1)} ${units[0]}`;
}

function chosen(form) {
  const file = form.querySelector("input[type=file]").files[0];
  if (file) form.querySelector("[data-chosen]").textContent = `${file.name} (${size(file.size)})`;
}

function show(form, done, total) {
  const box = form.querySelector("[data-progress]");
  box.hidden = false;
  box.querySelector("progress").value = total ? (100 * done) / total : 0;
  box.querySelector(".mono").textContent = `${size(done)} of ${size(total)}`;
}

function send(form) {
  const request = new XMLHttpRequest();
  request.open("POST", form.action);
  request.upload.addEventListener("progress", (event) => show(form, event.loaded, event.total));
  // Whatever the answer is: a page to go to, or the reason why not, which is shown here.
  request.addEventListener("load", () => {
    if (request.status < 400) window.location.assign(request.responseURL);
    else refuse(form, request);
  });
  request.addEventListener("error", () => refuse(form, request));
  request.send(new FormData(form));
}

function refuse(form, request) {
  const said = request.responseText.match(/role="alert">[^]*?<p class="muted">([^<]+)<\/p>/);
  form.querySelector("[data-progress] [role=status] span").textContent = said ? said[1] : "The upload failed. Try again.";
  form.querySelector("[type=submit]").removeAttribute("aria-busy");
}

document.addEventListener("change", (event) => {
  const form = event.target.closest("form[data-upload]");
  if (form && event.target.type === "file") chosen(form);
});

document.addEventListener("submit", (event) => {
  if (!event.target.matches("form[data-upload]")) return;
  event.preventDefault();
  send(event.target);
});

for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    const drop = event.target.closest?.("[data-drop]");
    if (!drop) return;
    event.preventDefault();
    drop.classList.toggle("drop-over", name === "dragover");
    if (name !== "drop" || !event.dataTransfer.files.length) return;
    drop.querySelector("input[type=file]").files = event.dataTransfer.files;
    chosen(drop.closest("form"));
  });
}
