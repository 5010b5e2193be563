/**
 * Sends what the reader did to whoever drives the explorer: to Python as a message, to the page as an event.
 *
 * @param {ComponentModel<Dispatching>} model
 * @param {object} message
 */
export function dispatch(model, message) {
  if (model.driver === "python") model.send_msg(message);
  else document.dispatchEvent(new CustomEvent(`attn:message:${model.explorer_id}`, { detail: message }));
}
