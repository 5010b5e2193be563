import { element } from "./dom.js";

// A drop zone for a file, which is sent in chunks below the connection's limit of a message.
const CHUNK = 4 * 1024 * 1024;

/** @param {Props<{ accept: string, prompt: string, kind: string, max_bytes: number }>} props */
export function render({ model }) {
  const zone = element("label");
  const input = element("input");
  const words = element("span");
  zone.className = "attn-upload";
  input.type = "file";
  input.accept = model.accept;
  words.textContent = model.prompt;
  zone.append(input, words);

  /** @param {File | undefined} file */
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
    send(input.files?.[0]);
    input.value = ""; // so that the same file can be chosen again
  });
  zone.addEventListener("dragover", (event) => event.preventDefault());
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    send(event.dataTransfer?.files[0]);
  });
  return zone;
}
