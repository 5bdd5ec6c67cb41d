// Forms that need a passkey: the browser is asked for it, and its answer goes with the form.
import { toast } from "./toasts.js";

async function ask(form) {
  const response = await fetch(form.dataset.options, { headers: { Accept: "application/json" } });
  if (!response.ok) throw new Error((await response.json()).detail);
  const options = await response.json();
  if (form.dataset.passkey === "create")
    return navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) });
  return navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) });
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.dataset.passkey) return;
  event.preventDefault();
  try {
    form.elements.credential.value = JSON.stringify(await ask(form));
    form.submit();
  } catch (error) {
    event.submitter?.removeAttribute("aria-busy");
    toast(error.name === "NotAllowedError" ? "No passkey was given." : `This did not work: ${error.message}`, "error");
  }
});

// Older browsers, and pages that are not over https, have no passkeys.
document.addEventListener("DOMContentLoaded", () => {
  if (window.PublicKeyCredential?.parseRequestOptionsFromJSON) return;
  document.querySelectorAll("[data-passkey]").forEach((form) => form.remove());
});
