// The lucide icons that the templates use; tests/web keeps the list and the templates in step.
export const ICONS = [
  "activity", "archive", "archive-restore", "arrow-left", "arrow-right", "ban", "check", "chevron-left",
  "chevron-right", "circle-check", "circle-x", "clock", "copy", "database", "download", "eye", "eye-off", "info",
  "key-round", "layers", "list-checks", "loader-circle", "lock", "log-out", "mail", "monitor", "pencil", "play",
  "plug", "plus", "rotate-cw", "search", "search-x", "settings", "shield-check", "skip-forward", "smartphone",
  "square", "terminal", "trash-2", "triangle-alert", "upload", "user", "wrench", "x",
];
