import "./htmx-setup.js";
import "htmx.org/dist/ext/hx-csp.js";
import "htmx.org/dist/ext/hx-sse.js";
import "./copy.js";
import "./dialogs.js";
import "./forms.js";
import "./passkeys.js";
import "./shortcuts.js";
import "./tabs.js";
import "./toasts.js";
import "./upload.js";

document.documentElement.classList.add("js");
