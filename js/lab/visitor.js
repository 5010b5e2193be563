/**
 * Identifies this browser by a random key in its storage, so that visitors find their own runs.
 *
 * @param {Props<{ key: string }>} props
 */
export function render({ model }) {
  const anchor = document.createElement("span");
  anchor.hidden = true;
  const place = "attnpanel:visitor";
  let key = "";
  try {
    key = window.localStorage.getItem(place) ?? "";
  } catch {
    // storage may be unavailable: the key then lasts as long as the page
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
