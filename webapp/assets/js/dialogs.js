// Links that lead to a confirmation page open the same form in a dialog instead.
document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-dialog]");
  const dialog = opener && document.getElementById(opener.dataset.dialog);
  if (dialog && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    dialog.showModal();
    dialog.querySelector("[autofocus]")?.select?.();
    return;
  }
  const closer = event.target.closest("[data-close]");
  const open = event.target.closest("dialog[open]");
  if (open && (closer || event.target === open)) {
    event.preventDefault();
    open.close();
  }
});
