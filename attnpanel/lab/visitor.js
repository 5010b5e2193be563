// Names this browser by a random word that it keeps, so that its visitor finds their own runs again.
export function render({ model }) {
  const anchor = document.createElement("span");
  anchor.hidden = true;
  const place = "attnpanel:visitor";
  let key = "";
  try {
    key = window.localStorage.getItem(place) ?? "";
  } catch {
    // a browser may refuse storage: the word then lasts as long as the page
  }
  if (!/^[0-9a-f]{32}$/.test(key)) {
    key = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    try {
      window.localStorage.setItem(place, key);
    } catch {
      // as above
    }
  }
  model.key = key;
  return anchor;
}
