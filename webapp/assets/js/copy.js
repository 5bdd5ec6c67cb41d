// Copies the text of the element that a button names. While its password is masked, the secret is
// asked for at the moment of the click and goes to the clipboard without being shown.
import { toast } from "./toasts.js";

const MASK = "••••••••••••";

async function secret(url) {
  const token = document.querySelector("meta[name=csrf-token]").content;
  const response = await fetch(url, {
    method: "POST",
    headers: { Accept: "application/json", "X-CSRFToken": token },
  });
  if (!response.ok) throw new Error(`credentials: ${response.status}`);
  return (await response.json()).password;
}

async function textOf(button) {
  const text = document.getElementById(button.dataset.copy).textContent.trim();
  if (!text.includes(MASK)) return text;
  return text.replaceAll(MASK, await secret(button.dataset.secret));
}

// Outside a secure context (plain http on another host) there is no clipboard API.
function copyBySelection(text) {
  const area = document.createElement("textarea");
  area.value = text;
  (document.querySelector("dialog[open]") ?? document.body).append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  if (!copied) throw new Error("copy refused");
}

async function copy(button) {
  const text = textOf(button);
  if (window.isSecureContext) {
    // A promise, so that the click still counts as the person's wish once the secret has arrived.
    const blob = text.then((value) => new Blob([value], { type: "text/plain" }));
    await navigator.clipboard.write([new ClipboardItem({ "text/plain": blob })]);
  } else {
    copyBySelection(await text);
  }
  button.classList.add("is-copied");
  setTimeout(() => button.classList.remove("is-copied"), 1600);
  toast(`${button.dataset.what ?? "Text"} copied`);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) copy(button).catch(() => toast("Copying did not work. Reveal it and copy it by hand.", "error"));
});
