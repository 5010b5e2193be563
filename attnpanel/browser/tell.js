// Tells whoever drives the explorer what the reader did: Python by a message, the page by an event.
function tell(model, message) {
  if (model.driver === "python") model.send_msg(message);
  else document.dispatchEvent(new CustomEvent(`attn:message:${model.uid}`, { detail: message }));
}
