// The address bar. Another source, text or task is an entry of the browser's history, a step of a slider is none.

// The query parameters that name what is shown, rather than how.
const SUBJECT = ["source", "prompt", "trace", "model", "change", "write", "outputs", "without", "exercise", "ready", "a", "b", "from_a", "from_b"];

/** what the address named when it was written last; null: nothing was written yet @type {?string} */
let written = null;

/** @param {string} parameters of a query or a fragment */
function subjectOf(parameters) {
  const texts = new URLSearchParams(parameters.slice(1));
  return JSON.stringify(SUBJECT.map((name) => texts.get(name)));
}

/**
 * Writes the address of what is shown. An entry of the history is made where it is another subject than the one that
 * this page wrote; where a reader came by a link, or went back, the entry is the link's.
 *
 * @param {string} parameters
 * @param {boolean} served whether they are a query, which Python reads when a page loads, rather than a fragment
 */
export function writeParameters(parameters, served) {
  if (served && written === null) window.addEventListener("popstate", reopen);
  const now = served ? window.location.search : window.location.hash;
  const address = `${served ? "?" : "#"}${parameters}`;
  const [here, subject] = [subjectOf(now), subjectOf(address)];
  // A file begins with its own text, which no parameter names.
  const known = written ?? (served ? null : subjectOf(""));
  written = subject;
  if (now === address) return;
  if (subject !== here && here === known) window.history.pushState(null, "", address);
  else window.history.replaceState(null, "", address);
}

/** Opens the page of the entry that a reader went to. */
function reopen() {
  if (subjectOf(window.location.search) !== written) window.location.reload();
}
