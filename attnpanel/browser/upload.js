// Choose or drop a file; it is sent in chunks, so that no message outgrows the connection's limit.
const CHUNK = 4 * 1024 * 1024;

export function render({ model }) {
  const zone = document.createElement("label");
  const input = document.createElement("input");
  const words = document.createElement("span");
  zone.className = "attn-upload";
  input.type = "file";
  input.accept = model.accept;
  words.textContent = model.prompt;
  zone.append(input, words);

  const send = async (file) => {
    if (!file) return;
    words.textContent = file.name;
    if (file.size > model.max_bytes) {
      const [most, got] = [model.max_bytes, file.size].map((n) => (n / 1e6).toFixed(0));
      model.send_msg({ refused: `a ${model.kind} file may have at most ${most} MB; “${file.name}” has ${got} MB` });
      return;
    }
    let offset = 0;
    do {
      const chunk = await file.slice(offset, offset + CHUNK).arrayBuffer();
      model.send_msg({ name: file.name, size: file.size, offset, chunk });
      offset += CHUNK;
    } while (offset < file.size);
    words.textContent = model.prompt;
  };
  input.addEventListener("change", () => {
    send(input.files[0]);
    input.value = ""; // so that the same file can be chosen again
  });
  zone.addEventListener("dragover", (event) => event.preventDefault());
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    send(event.dataTransfer.files[0]);
  });
  return zone;
}
