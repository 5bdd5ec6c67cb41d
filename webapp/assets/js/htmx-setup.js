// The extensions look for htmx on window when they are evaluated, so it is put there first.
import htmx from "htmx.org";

window.htmx = htmx;
